"""The UNet generator of pix2pix (Isola et al. 2017, section 3.2.1 and appendix 6.1), as CycleGAN's code has it.

Deliberate differences: no dropout, so that the same label map always gives the same image; levels are a list and not
nested, so that a weight's name says its level; the activations that precede convolutions in that code never change what
is handed across in place (it handed across the activated map, which the ReLU after it makes the same).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.arch.layers import Convolution
from understudy.arch.unet import UnetArch
from understudy.models.generator import Generator, Keep
from understudy.models.layers import ConvTanh, norm_layer

SLOPE = 0.2  # of the LeakyReLU on the way down


class Level(nn.Module):
    """A convolution that halves (transposed: doubles) the map, and its norm where there is one.

    [N, Cin, H, W] -> [N, Cout, H / 2, W / 2] or [N, Cout, 2 H, 2 W].
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.Module | None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)


class UnetGenerator(Generator):
    """Taps: "down.I" and "up.I", each level's convolution after its norm and before any activation.

    down.I: [N, down[I], H / 2^(I+1), W / 2^(I+1)]; up.I: [N, up[I], ...] at the size of down.(levels - 2 - I).
    """

    def __init__(self, arch: UnetArch) -> None:
        super().__init__(arch.stride)
        convs = {conv.writes.name: _halving_or_doubling(conv) for conv in arch.convolutions()}
        norms = {norm.channels.name: norm_layer(arch.norm, norm.channels.width) for norm in arch.norms()}
        levels = [(f"down.{index}", f"up.{index}") for index in range(len(arch.down))]  # one up more than there is
        self.down = nn.ModuleList(Level(convs[down], norms.get(down)) for down, _ in levels)
        self.up = nn.ModuleList(Level(convs[up], norms.get(up)) for _, up in levels[:-1])
        self.image = ConvTanh(convs[arch.image.name])

    def translate(self, x: Tensor, keep: Keep) -> Tensor:
        across = []
        for index, level in enumerate(self.down):
            x = level(F.leaky_relu(x, SLOPE) if index else x)  # the label map itself is not activated
            keep(f"down.{index}", x)
            across.append(x)
        x = across.pop().relu()
        for index, level in enumerate(self.up):
            x = level(x)
            keep(f"up.{index}", x)
            x = torch.cat([across.pop(), x], 1).relu_()  # [N, D, H', W'] and [N, U, H', W'] -> [N, D + U, H', W']
        return self.image(x)


def _halving_or_doubling(conv: Convolution) -> nn.Conv2d | nn.ConvTranspose2d:
    kind = nn.ConvTranspose2d if conv.transposed else nn.Conv2d
    cin = sum(group.width for group in conv.reads)
    return kind(cin, conv.writes.width, conv.kernel, stride=2, padding=1, bias=conv.bias)
