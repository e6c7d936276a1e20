import math
from dataclasses import asdict, dataclass
from typing import Literal

from understudy.cost import Counted
from understudy.params.loader import require


@dataclass(frozen=True)
class Budget:
    """Upper bound of one of the student's costs: one key has a number, the others are null.

    macs_true_g, macs_legacy_g: multiply-accumulates for one image of the training size, in 1e9; `true` counts a
    transposed convolution at its input size, `legacy` at its output size as the literature does.
    params_m: parameters, in 1e6.
    latency_ms: median milliseconds of one forward pass for one image of the training size, in fp32, on the machine at
    hand (runtime.device, OMP_NUM_THREADS threads).
    """

    macs_true_g: float | None
    macs_legacy_g: float | None
    params_m: float | None
    latency_ms: float | None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            require(math.isfinite(value) and value > 0, name, f"must be positive, found {value}")

    @property
    def given(self) -> dict[str, float]:
        """The numbers, by key."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def counted(self) -> tuple[Counted, float] | None:
        """What is counted, and the most of it; None of a latency."""
        if self.macs_true_g is not None:
            return "macs_true", self.macs_true_g * 1e9
        if self.macs_legacy_g is not None:
            return "macs_legacy", self.macs_legacy_g * 1e9
        return None if self.params_m is None else ("params", self.params_m * 1e6)


@dataclass(frozen=True)
class Prune:
    """One-step pruning to a budget (CAT, section 3.2).

    method: of choosing what survives: `threshold`, one on all channels' scores (CAT), or `uniform`, one factor on every
    width, so that the student is its teacher's network but narrower, and nothing vanishes.
    min_width: lower bound of every width but those inside residual branches and blocks, which a threshold may remove.
    inherit: which surviving teacher weights the student starts from.
    """

    method: Literal["threshold", "uniform"]
    budget: Budget
    min_width: int
    inherit: Literal["none", "norm", "all"]

    def __post_init__(self) -> None:
        given = self.budget.given
        message = f"one of {', '.join(asdict(self.budget))} is a number and the others are null; found "
        require(len(given) == 1, "budget", message + (" and ".join(given) or "none"))
        require(self.min_width >= 1, "min_width", f"must be at least 1, found {self.min_width}")
