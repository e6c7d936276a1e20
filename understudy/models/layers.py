"""The convolution, the norm and their pair that every network here is made of."""

from torch import Tensor, nn

from understudy.arch.base import Norm
from understudy.arch.residual import Padding
from understudy.models.conv import Conv2d
from understudy.models.instance_norm import InstanceNorm2d


def norm_layer(norm: Norm, channels: int, *, scales: bool = True) -> nn.Module:
    """A norm over [N, channels, H, W]; momentum 0.1 and eps 1e-5, torch's defaults and the literature's.

    scales: whether it has a scale and a shift for each channel, where `norm` has any.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels, affine=scales)
    return InstanceNorm2d(channels, affine=scales and norm == "instance_affine")


def convolution(
    cin: int, cout: int, kernel: int, padding: Padding, *, bias: bool, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution of odd kernel size that keeps H and W (at stride 1).

    torch pads with reflection or replication in a step of its own and then convolves without padding; zero padding is
    part of the convolution, and so 1.5 times as fast on a CPU. The names of the weights are the same in either case.
    """
    mode = "zeros" if padding == "zero" or kernel == 1 else padding
    return Conv2d(cin, cout, kernel, stride, padding=kernel // 2, groups=groups, bias=bias, padding_mode=mode)


class ConvNormRelu(nn.Module):
    """Convolution (transposed or not), norm, ReLU: [N, Cin, H, W] -> [N, Cout, H', W']."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, norm: Norm) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm_layer(norm, conv.out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))


class ConvTanh(nn.Module):
    """The last convolution, always with bias, and the image's range: [N, Cin, H', W'] -> [N, Cout, H, W] in [-1, 1]."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).tanh()
