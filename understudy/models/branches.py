"""CAT's branches as modules: of a residual block and of a modulation (Jin et al. 2021, section 3.1 and figure 3).

A deliberate difference from the released code: branches are named by kernel size, so that a pruned network's weights
say which branch they belong to.
"""

from torch import Tensor, nn

from understudy.arch.base import Norm
from understudy.arch.branches import Branches
from understudy.arch.residual import Padding
from understudy.models.layers import convolution, norm_layer


class ConvBranch(nn.Module):
    """k x k convolution to the hidden width, norm, ReLU, k x k convolution: [N, Cin, H, W] -> [N, Cout, H, W]."""

    def __init__(
        self, cin: int, hidden: int, cout: int, kernel: int, norm: Norm, padding: Padding, *, bias: bool
    ) -> None:
        super().__init__()
        self.first = convolution(cin, hidden, kernel, padding, bias=bias)
        self.norm = norm_layer(norm, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.second = convolution(hidden, cout, kernel, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.relu(self.norm(self.first(x))))


class DepthwiseBranch(nn.Module):
    """1x1 convolution to the hidden width, k x k convolution of each channel, 1x1, with norm and ReLU between.

    spatial_scales: whether the second norm has scales and shifts, where `norm` has any.
    """

    def __init__(
        self,
        cin: int,
        hidden: int,
        cout: int,
        kernel: int,
        norm: Norm,
        padding: Padding,
        *,
        bias: bool,
        spatial_scales: bool,
    ) -> None:
        super().__init__()
        self.first = convolution(cin, hidden, 1, padding, bias=bias)
        self.norm = norm_layer(norm, hidden)
        self.spatial = convolution(hidden, hidden, kernel, padding, bias=bias, groups=hidden)
        self.spatial_norm = norm_layer(norm, hidden, scales=spatial_scales)
        self.relu = nn.ReLU(inplace=True)
        self.second = convolution(hidden, cout, 1, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.norm(self.first(x)))  # [N, Cin, H, W] -> [N, hidden, H, W]
        hidden = self.relu(self.spatial_norm(self.spatial(hidden)))
        return self.second(hidden)  # [N, hidden, H, W] -> [N, Cout, H, W]


def branch_modules(
    branches: Branches, cin: int, cout: int, norm: Norm, padding: Padding, *, bias: bool, spatial_scales: bool = True
) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """The conventional and the depthwise branches by kernel size, for their owner to call `conv` and `depthwise`."""
    conv, depthwise = nn.ModuleDict(), nn.ModuleDict()
    for kind, kernel, hidden in branches:
        if kind == "conv":
            conv[str(kernel)] = ConvBranch(cin, hidden, cout, kernel, norm, padding, bias=bias)
        else:
            depthwise[str(kernel)] = DepthwiseBranch(
                cin, hidden, cout, kernel, norm, padding, bias=bias, spatial_scales=spatial_scales
            )
    return conv, depthwise


def branch_sum(conv: nn.ModuleDict, depthwise: nn.ModuleDict, x: Tensor) -> Tensor:
    """The sum of what the branches, of which there is at least one, make of x: [N, Cin, H, W] -> [N, Cout, H, W]."""
    first, *others = (*conv.values(), *depthwise.values())
    total = first(x)
    for branch in others:
        total = total + branch(x)
    return total
