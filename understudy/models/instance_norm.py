"""torch's instance norm, with the right gradient also for one image whose memory layout is channels_last.

Of a batch of one, torch 2.15 hands such an image's gradient to a kernel of the CPU that reads it as if it were
contiguous: the gradients of input, scale and shift are silently wrong. In every other case this is torch's own.
"""

from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """[N, C, H, W] -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if len(y) == 1 and y.requires_grad:
            y.register_hook(Tensor.contiguous)
        return y
