"""What both residual families share: down-sampling, a trunk of residual blocks, up-sampling.

Johnson et al. 2016, as in CycleGAN: 7x7 convolutions at both ends, 3x3 ones of stride 2 (then transposed) between.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from understudy.arch.base import has_bias
from understudy.arch.residual import ResidualArch
from understudy.models.generator import Generator, Keep
from understudy.models.layers import ConvNormRelu, ConvTanh, convolution


class ResidualGenerator(Generator):
    """Taps: "stem" (the ReLU after the third norm) and "block.I" (after the residual sum), [N, trunk, H / 4, W / 4]."""

    def __init__(self, arch: ResidualArch, blocks: Iterable[nn.Module]) -> None:
        super().__init__(arch.stride)
        bias, (first, second, trunk), (half, full) = has_bias(arch.norm), arch.stem, arch.head
        self.down = nn.Sequential(
            ConvNormRelu(convolution(arch.input_channels, first, 7, arch.padding, bias=bias), arch.norm),
            # The strided convolutions pad with zeros in every variant of the literature.
            ConvNormRelu(convolution(first, second, 3, "zero", stride=2, bias=bias), arch.norm),  # H -> H / 2
            ConvNormRelu(convolution(second, trunk, 3, "zero", stride=2, bias=bias), arch.norm),  # H / 2 -> H / 4
        )
        self.blocks = nn.ModuleList(blocks)
        self.up = nn.Sequential(
            ConvNormRelu(_doubling(trunk, half, bias), arch.norm),  # H / 4 -> H / 2
            ConvNormRelu(_doubling(half, full, bias), arch.norm),  # H / 2 -> H
            ConvTanh(convolution(full, arch.output_channels, 7, arch.padding, bias=True)),
        )

    def translate(self, x: Tensor, keep: Keep) -> Tensor:
        x = self.down(x)  # [N, input_channels, H, W] -> [N, trunk, H / 4, W / 4]
        keep("stem", x)
        for index, block in enumerate(self.blocks):
            x = block(x)
            keep(f"block.{index}", x)
        return self.up(x)  # [N, trunk, H / 4, W / 4] -> [N, 3, H, W]


def _doubling(cin: int, cout: int, bias: bool) -> nn.ConvTranspose2d:
    """[N, cin, H, W] -> [N, cout, 2 H, 2 W]."""
    return nn.ConvTranspose2d(cin, cout, 3, stride=2, padding=1, output_padding=1, bias=bias)
