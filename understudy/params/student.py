from dataclasses import dataclass

from understudy.params.loader import require
from understudy.params.schedule import Schedule


@dataclass(frozen=True)
class Student:
    """What the distilled student and the undistilled baseline have in common.

    lambda_gan, lambda_recon: weights of the adversarial term and of the L1 distance to the real photo.
    """

    lambda_gan: float
    lambda_recon: float
    schedule: Schedule

    def __post_init__(self) -> None:
        for name in ("lambda_gan", "lambda_recon"):
            require(getattr(self, name) >= 0, name, f"must not be negative, found {getattr(self, name)}")
        require(
            self.lambda_gan + self.lambda_recon > 0,
            "lambda_recon",
            "the baseline learns from nothing: give it or lambda_gan a weight",
        )
