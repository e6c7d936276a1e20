"""The judge of unpaired photos: a network that tells which of the two domains a photo is of.

There is nothing to read back from a translation that has no counterpart. What is left to ask is whether a network that
knows real photos of both domains takes it for one of the target's, and whether its features are distributed as theirs
are. Neither says whether the input's content was kept.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from understudy.metrics.judge_net import JudgeNet, Statistics, average, averaged, convolution, counted
from understudy.metrics.protocol import TARGET_SHARE


class Classifier(JudgeNet):
    """Photo float [N, 3, H, W] in [-1, 1] -> logit float [N], positive for the target domain."""

    kind = "unpaired"
    statistics: ClassVar[Statistics] = {TARGET_SHARE: average}

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.content = convolution(4 * width, 2 * width)
        self.logit = nn.Linear(2 * width, 1)

    def forward(self, photo: Tensor) -> Tensor:
        return self.observe(photo)[0]

    def observe(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [N] and the features [N, D].

        These are activations averaged over the photo: `width` channels at half resolution, as every judge has them, and
        the 2 `width` at a sixteenth from which the logit is made, which see the whole photo.
        """
        _, texture, _, _, coarse = self.encode(photo)
        content = averaged(self.content(coarse))  # [N, 4W, h, w] -> [N, 2W]
        return self.logit(content)[:, 0], torch.cat([averaged(texture), content], dim=1)

    def read(self, output: Tensor, inputs: Tensor) -> Tensor:
        """Whether each photo is taken for one of the target domain. inputs: not looked at."""
        return counted((output > 0).double())
