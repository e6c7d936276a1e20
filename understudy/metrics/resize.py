"""How photos of any size come to the 299 px that Inception reads: two protocols, which give different distances.

bilinear299: the protocol of FID's PyTorch port and of most image-to-image papers. Bilinear between pixel centres
without a filter against aliasing, then 2x / 255 - 1.

antialias299: that of Parmar et al. 2022 (section 4). Pillow's bicubic filter, widened when it shrinks, on floats; what
overshoots is clipped and nothing is rounded; then x / 128 - 1, as the TensorFlow release had it.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.metrics.protocol import Resize

SIDE = 299  # pixels, of Inception's input


def resize(photos: Tensor, how: Resize) -> Tensor:
    """uint8 [N, 3, H, W] in [0, 255] -> float32 [N, 3, 299, 299] in [-1, 1]."""
    if photos.dtype != torch.uint8 or photos.dim() != 4 or photos.shape[1] != 3:
        raise ValueError(f"expected uint8 [N, 3, H, W], found {photos.dtype} {list(photos.shape)}")
    return _RESIZES[how](photos.float())


def _bilinear(photos: Tensor) -> Tensor:
    return 2 * F.interpolate(photos / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False) - 1


def _antialias(photos: Tensor) -> Tensor:
    sized = F.interpolate(photos, size=(SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    return sized.clamp(0, 255) / 128 - 1


_RESIZES: Final[dict[Resize, Callable[[Tensor], Tensor]]] = {"bilinear299": _bilinear, "antialias299": _antialias}
