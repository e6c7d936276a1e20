from dataclasses import dataclass
from typing import Literal

from understudy.params.loader import require, require_sha256


@dataclass(frozen=True)
class Cyclegan:
    """lambda_cycle: weight of the L1 distance of an image to what comes back of it. lambda_identity: of the L1 distance
    of a target image to its own translation, in shares of lambda_cycle. pool_size: translations that a discriminator
    is shown again; 0: only the newest.
    """

    lambda_cycle: float
    lambda_identity: float
    pool_size: int

    def __post_init__(self) -> None:
        for name in ("lambda_cycle", "lambda_identity", "pool_size"):
            require(getattr(self, name) >= 0, name, f"must not be negative, found {getattr(self, name)}")
        require(self.lambda_cycle > 0, "lambda_cycle", "without it nothing ties a translation to its input")


@dataclass(frozen=True)
class Perceptual:
    """VGG-19, by whose features images are compared; never a network that scores.

    weights: path (from where the stage is run, unless absolute) or https: or file: address of torchvision's state dict.
    sha256: of that file. weight: of the term.
    """

    weights: str
    sha256: str
    weight: float

    def __post_init__(self) -> None:
        require_sha256(self.sha256)
        require(self.weight > 0, "weight", f"must be positive, found {self.weight}; perceptual: null turns it off")


@dataclass(frozen=True)
class Gaugan:
    """lambda_feature: weight of feature matching. perceptual: null: no such term."""

    lambda_feature: float
    perceptual: Perceptual | None

    def __post_init__(self) -> None:
        require(self.lambda_feature >= 0, "lambda_feature", f"must not be negative, found {self.lambda_feature}")


@dataclass(frozen=True)
class Objective:
    """What a generator is trained against; the same for teacher, student and baseline.

    family: pix2pix: pairs, a hinge GAN on (input, image) and L1 to the photo. cyclegan: unpaired photos, least squares,
    both directions at once. gaugan: pairs, a hinge GAN at two scales and feature matching. The sub-section of that name
    has what it alone uses, and the others are not looked at.
    """

    family: Literal["pix2pix", "cyclegan", "gaugan"]
    cyclegan: Cyclegan
    gaugan: Gaugan
