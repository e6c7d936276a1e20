from dataclasses import dataclass
from typing import Literal

from understudy.params.loader import require
from understudy.params.schedule import Schedule


@dataclass(frozen=True)
class Teacher:
    """CAT's inception generator and the pix2pix objective (CAT, section 3; pix2pix, equation 4).

    encoding: how a label map enters the generator. ngf: width of the first convolution. blocks: inception residual
    blocks, a multiple of 3. reduction: each branch's hidden width is floor(4 ngf / reduction). ndf: width of the
    discriminator. lambda_gan, lambda_recon: weights of the adversarial and of the L1 term.
    """

    encoding: Literal["onehot", "rgb"]
    ngf: int
    blocks: int
    reduction: int
    norm: Literal["batch", "instance", "instance_affine"]
    padding: Literal["reflect", "replicate", "zero"]
    ndf: int
    lambda_gan: float
    lambda_recon: float
    schedule: Schedule

    def __post_init__(self) -> None:
        for name in ("ngf", "blocks", "reduction", "ndf"):
            require(getattr(self, name) > 0, name, f"must be positive, found {getattr(self, name)}")
        require(
            self.blocks % 3 == 0, "blocks", f"must be a multiple of 3 (three groups are tapped), found {self.blocks}"
        )
        require(4 * self.ngf >= self.reduction, "reduction", "leaves no channel in a branch: lower it or raise ngf")
        for name in ("lambda_gan", "lambda_recon"):
            require(getattr(self, name) >= 0, name, f"must not be negative, found {getattr(self, name)}")
        require(
            self.lambda_gan + self.lambda_recon > 0,
            "lambda_recon",
            "the teacher learns from nothing: give it or lambda_gan a weight",
        )
