"""By what the channels of a network are ranked, all in one pool, so that one threshold means the same everywhere.

Where norms have scales, by |γ| (CAT, section 3.2). Where they have none (plain instance norms), by weight magnitude:
the mean absolute value of the filter that makes the channel. (Li et al., Pruning Filters, ICLR 2017, take the sum; the
mean lets filters of different size compare.)

Of the norms that share a group's channels the first that has scales ranks them, and of the convolutions the first that
writes them. So a depthwise branch's second norm, and the norms after a block's sum or second convolution, whose
channels are the trunk's, rank nothing. A group that follows another's width is ranked in the same way, but only within
itself: it is in no pool.

In a UNet with scales the outermost and the innermost down-convolution have no norm. They stay in the same pool, each as
a level of the network's typical spread: its filters are ranked by magnitude, and the filter of rank r of n gets the
|γ| at the same rank among the network's scales. So any threshold leaves such a level the share of its strongest filters
that it leaves of the normed channels together. (Magnitudes themselves are no scales: they are fifty times smaller, and
the mean over thousands of weights hardly differs between filters, so that a level would go, or stay, as a whole. Left
out of the pool, the innermost level could not be cut at all.)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from understudy.arch.base import Arch
from understudy.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Scores = Mapping[str, np.ndarray]
Ranking = Literal["norm scales", "weight magnitude"]


def ranking(arch: Arch) -> Ranking:
    """What ranks the channels of such a network."""
    return "norm scales" if arch.has_scales else "weight magnitude"


def read_scores(weights: Mapping[str, "Tensor"], arch: Arch) -> dict[str, np.ndarray]:
    """Scores by group of channels, float64 [channels] each, from the state dict of a network of this architecture.

    Raises UserError where they rank nothing: NaN or infinity, one value throughout.
    """
    magnitudes = _magnitudes(weights, arch)
    if not arch.has_scales:
        return _checked(magnitudes, "filter magnitudes")
    scales = _checked(_scales(weights, arch), "norm scales")
    everything = np.concatenate(list(scales.values()))
    unnormed = _finite({name: values for name, values in magnitudes.items() if name not in scales})
    ranked = {name: _at_equal_rank(values, everything) for name, values in unnormed.items()}
    return {name: scales[name] if name in scales else ranked[name] for name in magnitudes}


def _at_equal_rank(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """For each of `values` [channels] the element of `scales` that is at its rank, counted in shares of the whole."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.quantile(scales, (ranks + 0.5) / values.size, method="inverted_cdf")


def _scales(weights: Mapping[str, "Tensor"], arch: Arch) -> dict[str, np.ndarray]:
    """|γ| of the first norm with scales of each group that has one."""
    first: dict[str, str] = {}
    for norm in (norm for norm in arch.norms() if norm.scales):
        first.setdefault(norm.channels.name, norm.name)
    return {group: weights[f"{name}.weight"].abs().double().cpu().numpy() for group, name in first.items()}


def _magnitudes(weights: Mapping[str, "Tensor"], arch: Arch) -> dict[str, np.ndarray]:
    """Mean |w| of the filters of the first convolution that writes each group, in the network's order."""
    found: dict[str, np.ndarray] = {}
    for conv in arch.convolutions():
        if conv.writes.name in found or conv.writes == arch.image:
            continue
        weight = weights[f"{conv.name}.weight"].abs().double()
        # [Cout, Cin, k, k], transposed [Cin, Cout, k, k] -> [Cout]
        found[conv.writes.name] = weight.mean((0, 2, 3) if conv.transposed else (1, 2, 3)).cpu().numpy()
    return found


def _finite(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if broken := [name for name, values in scores.items() if not np.isfinite(values).all()]:
        raise UserError(f"the teacher's weights are NaN or infinite in {', '.join(broken)}: its training diverged")
    return scores


def _checked(scores: dict[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
    everything = np.concatenate(list(_finite(scores).values()))
    if everything.min() == everything.max():
        raise UserError(
            f"all {everything.size} of the teacher's {what} are {everything[0]:g}, so nothing ranks its channels; "
            "an instance-norm teacher's scales start like that: train it before pruning"
        )
    return scores
