"""torch's convolution, with the right gradient also where its kernel reaches past a map of a pixel or two.

In 16 bits on the CPU, torch 2.15 leaves the gradient of weights that meet nothing but padding as it finds the memory,
where it is zero. A network trains on unharmed, since such weights do nothing, and fails when they are pruned, or when
it translates a larger image. Maps so small, which cost nothing, are convolved in 32 bits.
"""

import torch
from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """[N, Cin, H, W] -> [N, Cout, H', W']. padding: in pixels."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_autocast_enabled("cpu") and x.device.type == "cpu" and self._reaches_past(x):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)

    def _reaches_past(self, x: Tensor) -> bool:
        """Whether some of the kernel's weights may meet nothing but padding."""
        assert not isinstance(self.padding, str)
        return any(side <= pad for side, pad in zip(x.shape[-2:], self.padding, strict=True))
