"""Initial weights: N(0, 0.02) of CycleGAN, pix2pix and CAT; Xavier's (Glorot and Bengio 2010), scaled, of GauGAN."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

STD = 0.02
GAIN = 0.02


def init_normal(module: nn.Module, generator: torch.Generator) -> None:
    """Convolution and linear weights ~ N(0, 0.02), batch-norm scales ~ N(1, 0.02), every bias 0; in place.

    Instance norms keep scale 1 and shift 0, as in the released code: an untrained instance-norm teacher therefore has
    nothing to be pruned by. generator: on the device that holds the module's weights.
    """
    _initialise(module, generator, lambda weight: weight.normal_(0.0, STD, generator=generator))


def init_xavier(module: nn.Module, generator: torch.Generator) -> None:
    """Convolution and linear weights normal of spread 0.02 sqrt(2 / (fan in + fan out)); in place.

    Norms and biases, and generator, as in `init_normal`.
    """
    _initialise(module, generator, lambda weight: nn.init.xavier_normal_(weight, GAIN, generator))


@torch.no_grad()
def _initialise(module: nn.Module, generator: torch.Generator, fill: Callable[[Tensor], Tensor]) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fill(_own_weight(part))
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, nn.BatchNorm2d) and part.affine:
            part.weight.normal_(1.0, STD, generator=generator)
            part.bias.zero_()


def _own_weight(part: nn.Module) -> Tensor:
    """The parameter itself, also where the weight is computed from it, as by spectral norm."""
    computed = parametrize.is_parametrized(part, "weight")
    return part.get_parameter("parametrizations.weight.original" if computed else "weight")
