"""What an architecture costs, in closed form: multiply-accumulates of its convolutions in both conventions, parameters.

No network is built and torch is not imported, so that a search may ask thousands of times.
"""

from dataclasses import dataclass
from typing import Literal

from understudy.arch.base import Arch

Counted = Literal["macs_true", "macs_legacy", "params"]


@dataclass(frozen=True)
class Cost:
    """macs_true, macs_legacy: for one image, convolutions only, biases and norms not counted. params: all of them."""

    macs_true: int
    macs_legacy: int
    params: int

    def of(self, counted: Counted) -> int:
        return {"macs_true": self.macs_true, "macs_legacy": self.macs_legacy, "params": self.params}[counted]


def cost(arch: Arch) -> Cost:
    """The cost at the architecture's own size."""
    true = legacy = params = 0
    for conv in arch.convolutions():
        true += conv.macs_true
        legacy += conv.macs_legacy
        params += conv.weights + (conv.filters if conv.bias else 0)
    if arch.has_scales:  # and a shift
        params += sum(2 * norm.channels.width for norm in arch.norms() if norm.scales)
    return Cost(true, legacy, params)
