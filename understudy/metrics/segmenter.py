"""The judge of label maps' photos: a segmentation network that reads the label map back.

A translation is good when a network that knows real photos finds in it what the label map asked for (mIoU; Isola et al.
2017, section 3.4, the "FCN score"), and when its features are distributed like those of real photos (Frechet distance).
"""

from typing import ClassVar

import torch
from torch import Tensor

from understudy.metrics.judge_net import Statistics, UNet
from understudy.metrics.protocol import MIOU, PIXEL_ACCURACY
from understudy.metrics.segmentation import confusion_matrices, mean_iou, pixel_accuracy


class Segmenter(UNet):
    """Photo float [N, 3, H, W] in [-1, 1] -> logits float [N, K, H, W].

    num_classes: K, the ignored class included (its logit is never trained and is left out when scoring). ignore: that
    class, or None.
    """

    kind = "labels"
    statistics: ClassVar[Statistics] = {MIOU: mean_iou, PIXEL_ACCURACY: pixel_accuracy}

    def __init__(self, num_classes: int, width: int, ignore: int | None = None) -> None:
        super().__init__(num_classes, width)
        self.num_classes, self.ignore = num_classes, ignore

    def read(self, output: Tensor, inputs: Tensor) -> Tensor:
        """Confusion matrices int64 [N, K, K], as in segmentation.py. inputs: class indices uint8 [N, H, W]."""
        return confusion_matrices(inputs.cpu(), predict(output, self.ignore).cpu(), self.num_classes, self.ignore)


def predict(logits: Tensor, ignore: int | None) -> Tensor:
    """The likeliest class of every pixel, never the ignored one. [N, K, H, W] -> int64 [N, H, W]."""
    if ignore is not None and ignore < logits.shape[1]:
        logits = logits.clone()
        logits[:, ignore] = -torch.inf
    return logits.argmax(1)
