"""Which channels can be pruned, and by what they are ranked: the |γ| of norm scales, in one pool (CAT, section 3.2).

Outside the pool are a depthwise branch's second norm, which shares the channels of its first, and the norm after a
block's sum, whose channels are the trunk's.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from understudy.arch import InceptionArch
from understudy.cost import norms
from understudy.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

TRUNK = "down.2.norm"  # its channels are those of the residual trunk, in every block

Scores = Mapping[str, np.ndarray]


def pool(arch: InceptionArch) -> dict[str, int]:
    """Name and channels of the norms whose scales rank channels: stem, first norm of each branch, head."""
    after_sum = {f"blocks.{index}.norm" for index in range(arch.num_blocks)}
    return {
        name: channels for name, channels in norms(arch) if name not in after_sum and not name.endswith(".spatial_norm")
    }


def read_scores(weights: Mapping[str, "Tensor"], arch: InceptionArch) -> dict[str, np.ndarray]:
    """|γ| by norm, float64 [channels] each, from the state dict of a network of this architecture.

    Raises UserError where the scales rank nothing: a norm without scales, NaN or infinity, one value throughout.
    """
    if arch.norm == "instance":
        raise UserError(
            "the teacher's instance norms have no scales, so nothing ranks its channels; "
            "train it with teacher.norm: instance_affine or batch"
        )
    scores = {name: weights[f"{name}.weight"].abs().double().cpu().numpy() for name in pool(arch)}
    if broken := [name for name, values in scores.items() if not np.isfinite(values).all()]:
        raise UserError(f"the teacher's scales are NaN or infinite in {', '.join(broken)}: its training diverged")
    everything = np.concatenate(list(scores.values()))
    if everything.min() == everything.max():
        raise UserError(
            f"all {everything.size} of the teacher's scales are {everything[0]:g}, so nothing ranks its channels; "
            "an instance-norm teacher starts like that: train it before pruning"
        )
    return scores
