"""Averaged weights: a copy of a network that trails it."""

import torch
from torch import nn


@torch.no_grad()
def trail(average: nn.Module, net: nn.Module, weight: float) -> None:
    """Move averaged weights and running statistics towards the network's; `weight` of 1 copies them.

    average, net: of one architecture. weight: in [0, 1], of what the network has now.
    """
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:  # the count of batches that normalisation has seen
            mean.copy_(value)
