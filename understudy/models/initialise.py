"""Initial weights of CycleGAN, pix2pix and CAT: N(0, 0.02)."""

import torch
from torch import nn

STD = 0.02


@torch.no_grad()
def init_normal(module: nn.Module, generator: torch.Generator) -> None:
    """Convolution and linear weights ~ N(0, 0.02), batch-norm scales ~ N(1, 0.02), every bias 0; in place.

    Instance norms keep scale 1 and shift 0, as in the released code: an untrained instance-norm teacher therefore has
    nothing to be pruned by. generator: on the device that holds the module's weights.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            part.weight.normal_(0.0, STD, generator=generator)
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, nn.BatchNorm2d):
            part.weight.normal_(1.0, STD, generator=generator)
            part.bias.zero_()
