from dataclasses import dataclass

from understudy.params.loader import require


@dataclass(frozen=True)
class Judge:
    """The network that scores translations. Its seed is its own: runs that differ in base.seed share it."""

    seed: int
    width: int
    steps: int
    batch_size: int
    learning_rate: float

    def __post_init__(self) -> None:
        for name in ("width", "steps", "batch_size", "learning_rate"):
            require(getattr(self, name) > 0, name, f"must be positive, found {getattr(self, name)}")
