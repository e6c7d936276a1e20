"""CAT's inception residual block and the generator made of it (Jin et al. 2021, section 3.1 and figure 3).

A deliberate difference from the released code: a block without branches owns no norm (there it keeps one that nothing
uses).
"""

from torch import Tensor, nn

from understudy.arch.base import Norm, has_bias
from understudy.arch.branches import Branches
from understudy.arch.inception import InceptionArch
from understudy.arch.residual import Padding
from understudy.models.branches import branch_modules, branch_sum
from understudy.models.layers import norm_layer
from understudy.models.residual import ResidualGenerator


class IncResBlock(nn.Module):
    """x + norm(sum of the branches of x), without an activation after the sum; the identity when there is no branch.

    x: [N, channels, H, W].
    """

    def __init__(self, channels: int, branches: Branches, norm: Norm, padding: Padding) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.conv, self.depthwise = branch_modules(branches, channels, channels, norm, padding, bias=bias)
        self.norm = norm_layer(norm, channels) if branches else None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is None:
            return x
        return x + self.norm(branch_sum(self.conv, self.depthwise, x))


def inception_generator(arch: InceptionArch) -> ResidualGenerator:
    """The network of `arch`, with torch's default initial weights."""
    trunk = arch.trunk.width
    return ResidualGenerator(arch, (IncResBlock(trunk, branches, arch.norm, arch.padding) for branches in arch.blocks))
