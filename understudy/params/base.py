from dataclasses import dataclass

from understudy.params.loader import require


@dataclass(frozen=True)
class Base:
    """seed: of weights, data order and augmentation in the teacher's, the student's and the baseline's training."""

    seed: int

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "seed", f"must be in [0, 2**31), found {self.seed}")
