"""GauGAN's block and generator (Park et al. 2019, SPADE, sections 3.1 and 3.2, figures 2 and 4, appendix A).

A deliberate difference from the released code: no spectral norm, as in CAT's settings. Where figure and code differ,
the code's form: LeakyReLU in the blocks.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from understudy.arch.decoder import Place
from understudy.arch.gaugan import GauganArch, GauganBlock
from understudy.models.decoder import SLOPE, Decoder
from understudy.models.layers import convolution, norm_layer


class Spade(nn.Module):
    """norm(x) * (1 + scale) + shift, where scale and shift are convolutions of shared features of the label map.

    x: [N, channels, H, W]; labels: [N, label_channels, H, W]. Without hidden channels the norm alone.
    """

    def __init__(self, channels: int, label_channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = norm_layer("batch", channels, scales=False)
        self.shared = convolution(label_channels, hidden, 3, "zero", bias=True) if hidden else None
        if hidden:
            self.scale = convolution(hidden, channels, 3, "zero", bias=True)
            self.shift = convolution(hidden, channels, 3, "zero", bias=True)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.norm(x)
        if self.shared is None:
            return x
        hidden = self.shared(labels).relu()  # [N, label_channels, H, W] -> [N, hidden, H, W]
        return x * (1 + self.scale(hidden)) + self.shift(hidden)


class SpadeConvolution(nn.Module):
    """Modulated norm, LeakyReLU if it is asked for, convolution: [N, Cin, H, W] -> [N, Cout, H, W]."""

    def __init__(self, cin: int, cout: int, kernel: int, label_channels: int, hidden: int, *, activate: bool) -> None:
        super().__init__()
        self.activate = activate
        self.spade = Spade(cin, label_channels, hidden)
        self.conv = convolution(cin, cout, kernel, "zero", bias=activate)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.spade(x, labels)
        return self.conv(F.leaky_relu(x, SLOPE) if self.activate else x)


class SpadeResBlock(nn.Module):
    """Shortcut of x + two modulated 3x3 convolutions of x: [N, Cin, H, W] -> [N, Cout, H, W]."""

    def __init__(self, place: Place, label_channels: int, block: GauganBlock) -> None:
        super().__init__()
        cin, hidden, cout = place.reads.width, block.hidden, place.writes.width
        self.first = SpadeConvolution(cin, hidden, 3, label_channels, block.first, activate=True) if hidden else None
        if hidden:
            self.second = SpadeConvolution(hidden, cout, 3, label_channels, block.second, activate=True)
        self.shortcut = (
            SpadeConvolution(cin, cout, 1, label_channels, block.shortcut, activate=False)
            if place.learns_shortcut
            else None
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        past = x if self.shortcut is None else self.shortcut(x, labels)
        return past if self.first is None else past + self.second(self.first(x, labels), labels)


def gaugan_generator(arch: GauganArch) -> Decoder:
    """The network of `arch`, with torch's default initial weights."""
    places = zip(arch.places(), arch.blocks, strict=True)
    blocks = (SpadeResBlock(place, arch.input_channels, block) for place, block in places)
    return Decoder(arch, nn.Identity(), blocks)
