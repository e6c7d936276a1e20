"""CAT's block for GauGAN and the generator made of it (Jin et al. 2021, section 3.1 and figure 3).

Deliberate differences from the released code: ReLU inside the blocks always, as in the figure (there the teacher trains
with LeakyReLU and is distilled with ReLU); a block whose branches are all removed has no modulation, which nothing
would read. Where figure and code differ, the code's form: no ReLU in the shortcut.
"""

from torch import Tensor, nn

from understudy.arch.branches import Branches
from understudy.arch.decoder import Place
from understudy.arch.spade import SpadeArch, SpadeBlock
from understudy.models.branches import branch_modules, branch_sum
from understudy.models.decoder import Decoder
from understudy.models.layers import convolution, norm_layer


class IncSpade(nn.Module):
    """norm(x) * (1 + scale) + shift, where scale and shift are the halves of the sum of branches of the label map.

    x: [N, channels, H, W]; labels: [N, label_channels, H, W]. Without branches the norm alone, which has no scales.
    """

    def __init__(self, channels: int, label_channels: int, branches: Branches) -> None:
        super().__init__()
        self.norm = norm_layer("batch", channels, scales=False)
        self.conv, self.depthwise = branch_modules(branches, label_channels, 2 * channels, "batch", "zero", bias=True)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.norm(x)
        if not self.conv and not self.depthwise:
            return x
        scale, shift = branch_sum(self.conv, self.depthwise, labels).chunk(2, dim=1)  # [N, 2 C, H, W] -> 2 [N, C, H, W]
        return x * (1 + scale) + shift


class Shortcut(nn.Module):
    """Norm and 1x1 convolution: [N, Cin, H, W] -> [N, Cout, H, W]."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.norm = norm_layer("batch", cin)
        self.conv = convolution(cin, cout, 1, "zero", bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class IncSpadeBlock(nn.Module):
    """Shortcut of x + sum of the branches of ReLU(modulated x); the shortcut alone when there is no branch.

    x: [N, Cin, H, W] -> [N, Cout, H, W]; labels: [N, label_channels, H, W]. The shortcut is the identity where the
    place in the network keeps the width.
    """

    def __init__(self, place: Place, label_channels: int, block: SpadeBlock) -> None:
        super().__init__()
        cin, cout = place.reads.width, place.writes.width
        self.spade = IncSpade(cin, label_channels, block.spade) if block.main else None
        self.conv, self.depthwise = branch_modules(
            block.main, cin, cout, "batch", "zero", bias=True, spatial_scales=False
        )
        self.shortcut = Shortcut(cin, cout) if place.learns_shortcut else nn.Identity()

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        if self.spade is None:
            return self.shortcut(x)
        return self.shortcut(x) + branch_sum(self.conv, self.depthwise, self.spade(x, labels).relu())


def spade_generator(arch: SpadeArch) -> Decoder:
    """The network of `arch`, with torch's default initial weights."""
    stem = next(arch.places()).reads.width
    places = zip(arch.places(), arch.blocks, strict=True)
    blocks = (IncSpadeBlock(place, arch.input_channels, block) for place, block in places)
    return Decoder(arch, norm_layer("batch", stem), blocks)
