"""What both generator families share: down-sampling, a trunk of residual blocks, up-sampling, features on request.

Johnson et al. 2016, as in CycleGAN: 7x7 convolutions at both ends, 3x3 ones of stride 2 (then transposed) between.
"""

from collections.abc import Collection, Iterable
from typing import overload

from torch import Tensor, nn

from understudy.arch import Arch
from understudy.models.layers import ConvNormRelu, ConvTanh, convolution, has_bias


class Generator(nn.Module):
    """net(x) -> image; net(x, taps) -> (image, features by tap name).

    x: [N, input_channels, H, W], H and W multiples of 4. image: [N, 3, H, W] in [-1, 1].
    taps: "stem" (the ReLU after the third norm) and "block.I" (after the residual sum): [N, trunk, H / 4, W / 4] each.
    """

    def __init__(self, arch: Arch, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
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

    @overload
    def forward(self, x: Tensor) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, taps: Collection[str]) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(self, x: Tensor, taps: Collection[str] = ()) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Raises ValueError for a size that is not a multiple of 4 and for a tap that the network does not have.

        Without taps (an empty collection counts as none) only the image is returned.
        """
        if x.shape[-2] % 4 or x.shape[-1] % 4:
            raise ValueError(f"height and width must be multiples of 4, found {tuple(x.shape[-2:])}")
        features: dict[str, Tensor] = {}
        x = self.down(x)  # [N, input_channels, H, W] -> [N, trunk, H / 4, W / 4]
        if "stem" in taps:
            features["stem"] = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if taps and f"block.{index}" in taps:
                features[f"block.{index}"] = x
        if len(features) < len(set(taps)):
            raise ValueError(f"no such tap: {', '.join(sorted(set(taps) - set(features)))}")
        image = self.up(x)  # [N, trunk, H / 4, W / 4] -> [N, 3, H, W]
        return (image, features) if taps else image


def _doubling(cin: int, cout: int, bias: bool) -> nn.ConvTranspose2d:
    """[N, cin, H, W] -> [N, cout, 2 H, 2 W]."""
    return nn.ConvTranspose2d(cin, cout, 3, stride=2, padding=1, output_padding=1, bias=bias)
