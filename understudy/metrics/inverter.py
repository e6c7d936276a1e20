"""The judge of photos with a known translation: a network that reads the input photo back from its output.

A translation is good when a network that knows real pairs finds in it what the input showed, which is what mIoU asks of
label maps. What an input shows and no real output tells (a colour that the translation loses) costs all models alike:
the value of the real photos is about the least that can be asked for.
"""

from typing import ClassVar

from torch import Tensor

from understudy.data.prepared import to_unit
from understudy.metrics.judge_net import Statistics, UNet, average, counted
from understudy.metrics.protocol import L1_TO_INPUT

CHANNELS = 3


class Inverter(UNet):
    """Output photo float [N, 3, H, W] in [-1, 1] -> input photo float [N, 3, H, W], not clipped to [-1, 1]."""

    kind = "photos"
    statistics: ClassVar[Statistics] = {L1_TO_INPUT: average}

    def __init__(self, width: int) -> None:
        super().__init__(CHANNELS, width)

    def read(self, output: Tensor, inputs: Tensor) -> Tensor:
        """The mean absolute difference to each input, black to white is 1. inputs: photos uint8 [N, 3, H, W]."""
        found = output.float().clamp(-1, 1)
        return counted((found - to_unit(inputs.to(found.device))).double().abs().mean(dim=(1, 2, 3)) / 2)
