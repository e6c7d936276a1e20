"""The ResNet generator of CycleGAN and pix2pix (Zhu et al. 2017, appendix 7.2), the baseline that CAT compresses."""

from torch import Tensor, nn

from understudy.arch import Norm, Padding, ResnetArch
from understudy.models.generator import Generator
from understudy.models.layers import convolution, has_bias, norm_layer


class ResBlock(nn.Module):
    """x + norm(conv(ReLU(norm(conv(x))))), both convolutions 3x3. x: [N, channels, H, W]."""

    def __init__(self, channels: int, norm: Norm, padding: Padding) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = convolution(channels, channels, 3, padding, bias=bias)
        self.first_norm = norm_layer(norm, channels)
        self.relu = nn.ReLU(inplace=True)
        self.second = convolution(channels, channels, 3, padding, bias=bias)
        self.second_norm = norm_layer(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first_norm(self.first(x)))
        return x + self.second_norm(self.second(hidden))


def resnet_generator(arch: ResnetArch) -> Generator:
    """The network of `arch`, with torch's default initial weights."""
    return Generator(arch, (ResBlock(arch.trunk, arch.norm, arch.padding) for _ in range(arch.blocks)))
