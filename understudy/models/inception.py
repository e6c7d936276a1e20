"""CAT's inception residual block and the generator made of it (Jin et al. 2021, section 3.1 and figure 3).

Deliberate differences from the released code: a block without branches owns no norm (there it keeps one that nothing
uses), and the branches are named by kernel size, so that a pruned network's weights say which branch they belong to.
"""

from torch import Tensor, nn

from understudy.arch.base import Norm, has_bias
from understudy.arch.inception import Block, InceptionArch
from understudy.arch.residual import Padding
from understudy.models.layers import convolution, norm_layer
from understudy.models.residual import ResidualGenerator


class ConvBranch(nn.Module):
    """k x k convolution to the hidden width, norm, ReLU, k x k convolution back: [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, channels: int, hidden: int, kernel: int, norm: Norm, padding: Padding) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = convolution(channels, hidden, kernel, padding, bias=bias)
        self.norm = norm_layer(norm, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.second = convolution(hidden, channels, kernel, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.relu(self.norm(self.first(x))))


class DepthwiseBranch(nn.Module):
    """1x1 convolution to the hidden width, k x k convolution of each channel, 1x1 back, with norm and ReLU between."""

    def __init__(self, channels: int, hidden: int, kernel: int, norm: Norm, padding: Padding) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = convolution(channels, hidden, 1, padding, bias=bias)
        self.norm = norm_layer(norm, hidden)
        self.spatial = convolution(hidden, hidden, kernel, padding, bias=bias, groups=hidden)
        self.spatial_norm = norm_layer(norm, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.second = convolution(hidden, channels, 1, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.norm(self.first(x)))  # [N, C, H, W] -> [N, hidden, H, W]
        hidden = self.relu(self.spatial_norm(self.spatial(hidden)))
        return self.second(hidden)  # [N, hidden, H, W] -> [N, C, H, W]


class IncResBlock(nn.Module):
    """x + norm(sum of the branches of x), without an activation after the sum; the identity when there is no branch.

    x: [N, channels, H, W].
    """

    def __init__(self, channels: int, block: Block, norm: Norm, padding: Padding) -> None:
        super().__init__()
        self.conv = nn.ModuleDict()
        self.depthwise = nn.ModuleDict()
        for kind, kernel, hidden in block.branches():
            if kind == "conv":
                self.conv[str(kernel)] = ConvBranch(channels, hidden, kernel, norm, padding)
            else:
                self.depthwise[str(kernel)] = DepthwiseBranch(channels, hidden, kernel, norm, padding)
        self.norm = norm_layer(norm, channels) if self.conv or self.depthwise else None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is None:
            return x
        first, *others = (*self.conv.values(), *self.depthwise.values())
        total = first(x)
        for branch in others:
            total = total + branch(x)
        return x + self.norm(total)


def inception_generator(arch: InceptionArch) -> ResidualGenerator:
    """The network of `arch`, with torch's default initial weights."""
    trunk = arch.trunk.width
    return ResidualGenerator(arch, (IncResBlock(trunk, block, arch.norm, arch.padding) for block in arch.blocks))
