"""The ResNet generator of CycleGAN and pix2pix (Zhu et al. 2017, appendix 7.2), the baseline that CAT compresses."""

from torch import Tensor, nn

from understudy.arch.base import Norm, has_bias
from understudy.arch.residual import Padding
from understudy.arch.resnet import ResnetArch
from understudy.models.layers import convolution, norm_layer
from understudy.models.residual import ResidualGenerator


class ResBlock(nn.Module):
    """x + norm(conv(ReLU(norm(conv(x))))), both convolutions 3x3, with `hidden` channels between them.

    x: [N, channels, H, W].
    """

    def __init__(self, channels: int, hidden: int, norm: Norm, padding: Padding) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = convolution(channels, hidden, 3, padding, bias=bias)
        self.first_norm = norm_layer(norm, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.second = convolution(hidden, channels, 3, padding, bias=bias)
        self.second_norm = norm_layer(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first_norm(self.first(x)))  # [N, channels, H, W] -> [N, hidden, H, W]
        return x + self.second_norm(self.second(hidden))


def resnet_generator(arch: ResnetArch) -> ResidualGenerator:
    """The network of `arch`, with torch's default initial weights. A removed block is the identity."""
    trunk = arch.trunk.width
    blocks = (ResBlock(trunk, hidden, arch.norm, arch.padding) if hidden else nn.Identity() for hidden in arch.blocks)
    return ResidualGenerator(arch, blocks)
