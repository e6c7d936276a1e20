from dataclasses import dataclass
from typing import Literal

from understudy.params.loader import require, require_sha256
from understudy.params.schedule import Schedule


@dataclass(frozen=True)
class Inception:
    """CAT's generator. blocks: residual blocks, a multiple of 3. reduction: a branch's width is 4 ngf / reduction."""

    blocks: int
    reduction: int
    padding: Literal["reflect", "replicate", "zero"]

    def __post_init__(self) -> None:
        _require_thirds(self.blocks)
        require(self.reduction > 0, "reduction", f"must be positive, found {self.reduction}")


@dataclass(frozen=True)
class Resnet:
    """CycleGAN's generator. blocks: residual blocks, a multiple of 3."""

    blocks: int
    padding: Literal["reflect", "replicate", "zero"]

    def __post_init__(self) -> None:
        _require_thirds(self.blocks)


@dataclass(frozen=True)
class Unet:
    """pix2pix's generator. levels: halvings of the image; both sides must be multiples of 2 to that power."""

    levels: int

    def __post_init__(self) -> None:
        require(self.levels >= 2, "levels", f"must be at least 2, found {self.levels}")


@dataclass(frozen=True)
class Spade:
    """CAT's version of GauGAN's. reduction: a branch's width is the lesser of its block's two widths / reduction."""

    reduction: int

    def __post_init__(self) -> None:
        require(self.reduction > 0, "reduction", f"must be positive, found {self.reduction}")


@dataclass(frozen=True)
class Custom:
    """Any torch.nn.Module (docs/add-an-architecture.md).

    file: Python code, as a path from where the stage is run; the teacher's stage runs it, and only this one.
    name: of the class in it.
    """

    file: str
    name: str


@dataclass(frozen=True)
class Source:
    """A generator that other code has trained: in the layout of the public CycleGAN-and-pix2pix code, or a custom one.

    weights: path (from where the stage is run, unless absolute) or https: or file: address of its state dict.
    sha256: of that file: it is not DVC's, and so the parameter says when it is another.
    """

    weights: str
    sha256: str

    def __post_init__(self) -> None:
        require_sha256(self.sha256)


@dataclass(frozen=True)
class Teacher:
    """The generator that is compressed, and how it is trained for the section `objective`.

    source: null to train one; otherwise nothing is trained, and of all the rest only encoding, ndf and custom are
    looked at, custom where it is the family.
    family: of the generator; the sub-section of that name has what it alone uses, and the others are not looked at;
    gaugan uses nothing of its own. norm: spade and gaugan have batch norms alone; custom has its own norm and widths,
    whatever norm and ngf say.
    encoding: how a label map enters the generator. ngf: width of the first convolution. ndf: width of the
    discriminator. lambda_gan, lambda_recon: weights of the adversarial term and of L1 to the photo, for pairs alone.
    """

    source: Source | None
    family: Literal["inception", "resnet", "unet", "spade", "gaugan", "custom"]
    encoding: Literal["onehot", "rgb"]
    ngf: int
    norm: Literal["batch", "instance", "instance_affine"]
    inception: Inception
    resnet: Resnet
    unet: Unet
    spade: Spade
    custom: Custom
    ndf: int
    lambda_gan: float
    lambda_recon: float
    schedule: Schedule

    def __post_init__(self) -> None:
        for name in ("ngf", "ndf"):
            require(getattr(self, name) > 0, name, f"must be positive, found {getattr(self, name)}")
        for family, narrowest, reduction in (
            ("inception", 4 * self.ngf, self.inception.reduction),
            ("spade", self.ngf, self.spade.reduction),
        ):
            require(
                self.family != family or narrowest >= reduction,
                f"{family}.reduction",
                "leaves no channel in a branch: lower it or raise ngf",
            )
        require(
            self.family not in ("spade", "gaugan") or self.norm == "batch",
            "norm",
            f"{self.family} has batch norms alone, found {self.norm}",
        )
        for name in ("lambda_gan", "lambda_recon"):
            require(getattr(self, name) >= 0, name, f"must not be negative, found {getattr(self, name)}")
        require(
            self.lambda_gan + self.lambda_recon > 0,
            "lambda_recon",
            "the teacher learns from nothing: give it or lambda_gan a weight",
        )


def _require_thirds(blocks: int) -> None:
    require(
        blocks > 0 and blocks % 3 == 0,
        "blocks",
        f"must be a multiple of 3 (three groups are tapped), found {blocks}",
    )
