"""Feature matching: a fake that a discriminator sees as it sees the real image (pix2pixHD, equation 4).

Wang et al. 2018, in GauGAN's form: the sum over layers but the logits, the mean over scales, of which each has a
discriminator of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean absolute difference of each map, summed over a scale's maps but its last, averaged over scales: a scalar.

    real, fake: by scale the maps [N, C, H, W] of one discriminator, logits last. No gradient reaches `real`. Raises
    ValueError when they differ in number or shape.
    """
    distances = []
    for theirs, ours in zip(real, fake, strict=True):
        for target, feature in list(zip(theirs, ours, strict=True))[:-1]:
            if target.shape != feature.shape:
                shapes = f"{list(target.shape)} and {list(feature.shape)}"
                raise ValueError(f"feature matching: real and fake maps differ in shape, {shapes}")
            distances.append(F.l1_loss(feature, target.detach()))
    return torch.stack(distances).sum() / len(real)
