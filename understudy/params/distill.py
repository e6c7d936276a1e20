from dataclasses import dataclass
from typing import Literal

from understudy.params.loader import require


@dataclass(frozen=True)
class Alignment:
    """Kernel alignment with the teacher (CAT). `release` names the released code's form: batch, uncentred."""

    weight: float
    form: Literal["global_centred", "global", "batch_centred", "batch", "release"]

    def __post_init__(self) -> None:
        require(self.weight >= 0, "weight", f"must not be negative, found {self.weight}")


@dataclass(frozen=True)
class Relation:
    """The semantic relation matrix of the features midway through the network (SRPKD, equation 7)."""

    weight: float
    norm: Literal["l1", "l2"]
    centred: bool

    def __post_init__(self) -> None:
        require(self.weight >= 0, "weight", f"must not be negative, found {self.weight}")


@dataclass(frozen=True)
class Directions:
    """Of a CycleGAN's student. `one`: the translation alone, tied to its input by the teacher's (CAT). `both`: a whole
    small CycleGAN with a teacher in each direction (SRPKD, section 3).
    """

    directions: Literal["one", "both"]


@dataclass(frozen=True)
class Distill:
    """What the student learns from its teacher. A term of weight 0 is off and costs nothing.

    discriminator: start from the teacher's, or fresh. output_weight: of the L1 distance to the teacher's output.
    feature_weight: of the mean squared distance to the teacher's features through learned 1x1 adapters.
    cyclegan: looked at where objective.family is cyclegan.
    """

    discriminator: Literal["teacher", "fresh"]
    alignment: Alignment
    relation: Relation
    output_weight: float
    feature_weight: float
    cyclegan: Directions

    def __post_init__(self) -> None:
        for name in ("output_weight", "feature_weight"):
            require(getattr(self, name) >= 0, name, f"must not be negative, found {getattr(self, name)}")
