from dataclasses import dataclass
from typing import Literal

from understudy.params.loader import require


@dataclass(frozen=True)
class Prune:
    """One-step pruning to a budget (CAT, section 3.2).

    method: of choosing what survives: `threshold`, one on all channels' scores (CAT), or `uniform`, one factor on every
    width, so that the student is its teacher's network but narrower, and nothing vanishes.
    macs_budget_g: upper bound of the student's multiply-accumulates for one image of the training size, in 1e9.
    convention: `true` counts a transposed convolution at its input size, `legacy` at its output size as the
    literature does.
    min_width: lower bound of every width but those inside residual branches and blocks, which a threshold may remove.
    inherit: which surviving teacher weights the student starts from.
    """

    method: Literal["threshold", "uniform"]
    macs_budget_g: float
    convention: Literal["true", "legacy"]
    min_width: int
    inherit: Literal["none", "norm", "all"]

    def __post_init__(self) -> None:
        require(self.macs_budget_g > 0, "macs_budget_g", f"must be positive, found {self.macs_budget_g}")
        require(self.min_width >= 1, "min_width", f"must be at least 1, found {self.min_width}")
