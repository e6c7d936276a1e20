from dataclasses import dataclass

from understudy.params.loader import require

LOG_EVERY = 10  # steps that one record of a training log averages over


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a generator and its discriminator train; the same for teacher, student and baseline.

    constant_steps, decay_steps: optimiser steps at the full learning rate, then falling linearly towards zero.
    ema_decay: of the averaged weights, which are what is validated and kept; 0 keeps the raw ones.
    validate_every: steps between two scores on the validation split, by which the best checkpoint is chosen.
    checkpoint_every: steps between two checkpoints, from which a killed stage goes on.
    processes: which share every batch equally, with a GPU each or all on the CPU; of several hosts each has as many.
    null: one, on each host.
    micro_batch: images that a process runs its networks on at once; null: all of its share. Neither changes what is
    computed, but in what order numbers are added.
    """

    constant_steps: int
    decay_steps: int
    batch_size: int
    learning_rate: float
    ema_decay: float
    validate_every: int
    checkpoint_every: int
    processes: int | None
    micro_batch: int | None

    def __post_init__(self) -> None:
        for name in ("batch_size", "learning_rate", "validate_every", "checkpoint_every"):
            require(getattr(self, name) > 0, name, f"must be positive, found {getattr(self, name)}")
        for name in ("processes", "micro_batch"):
            require(getattr(self, name) is None or getattr(self, name) > 0, name, "must be positive, or null")
        require(self.constant_steps >= 0, "constant_steps", f"must not be negative, found {self.constant_steps}")
        require(self.decay_steps >= 0, "decay_steps", f"must not be negative, found {self.decay_steps}")
        require(self.steps > 0, "constant_steps", "constant_steps + decay_steps must be positive")
        for name in ("validate_every", "checkpoint_every"):
            require(
                getattr(self, name) % LOG_EVERY == 0, name, f"must be a multiple of {LOG_EVERY}, the steps of a record"
            )
        require(0 <= self.ema_decay < 1, "ema_decay", f"must be in [0, 1), found {self.ema_decay}")

    @property
    def steps(self) -> int:
        return self.constant_steps + self.decay_steps
