"""Random changes of real images that a judge must not mind. Float photos [N, 3, H, W] in [-1, 1]; none is clipped."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

Window = tuple[slice, slice]  # rows and columns of an image


def window(size: tuple[int, int], smallest: float, generator: torch.Generator) -> Window:
    """A part of an image of `size` (H, W), of the same proportions. smallest: share of height and width that it has."""
    height, width = size
    scale, top, left = torch.rand(3, generator=generator).tolist()
    scale = smallest + (1 - smallest) * scale
    h, w = max(round(height * scale), 1), max(round(width * scale), 1)
    return _from(top, h, height), _from(left, w, width)


def crop_photos(photos: Tensor, part: Window) -> Tensor:
    """That part of every photo, brought back to the photos' size."""
    size = (photos.shape[2], photos.shape[3])
    return F.interpolate(photos[:, :, part[0], part[1]], size, mode="bilinear", align_corners=False)


def crop_labels(labels: Tensor, part: Window) -> Tensor:
    """The same of label maps uint8 [N, H, W]."""
    cropped = labels[:, None, part[0], part[1]]
    size = (labels.shape[1], labels.shape[2])
    return F.interpolate(cropped, size, mode="nearest-exact")[:, 0]  # [N, 1, h, w] -> [N, H, W]


def recolour(photos: Tensor, contrast: float, brightness: float, colour: float, generator: torch.Generator) -> Tensor:
    """Each photo with its own contrast (a factor of 1 +- `contrast`), brightness and colour balance (offsets)."""
    count = len(photos)
    mean = photos.mean(dim=(1, 2, 3), keepdim=True)
    factor = 1 + contrast * _spread(generator, count, 1)
    balance = colour * _spread(generator, count, 3)
    offset = brightness * _spread(generator, count, 1)
    return (photos - mean) * factor + mean + offset + balance


def blur_or_noise(photos: Tensor, blur: float, noise: float, generator: torch.Generator) -> Tensor:
    """A third of the photos blurred, a third noisy, each by its own amount.

    blur: largest standard deviation of the Gaussian, in pixels. noise: largest standard deviation, black to white is 2.
    """
    return torch.cat(list(_blur_or_noise(photos, blur, noise, generator)))


def _blur_or_noise(photos: Tensor, blur: float, noise: float, generator: torch.Generator) -> Iterator[Tensor]:
    for photo in photos.split(1):
        choice, amount = torch.rand(2, generator=generator).tolist()
        if choice < 1 / 3:
            yield _blurred(photo, max(amount * blur, 1e-3))
        elif choice < 2 / 3:
            yield photo + amount * noise * torch.randn(photo.shape, generator=generator)
        else:
            yield photo


def _blurred(photo: Tensor, deviation: float) -> Tensor:
    """[1, 3, H, W], by a Gaussian of `deviation` pixels, along columns and then along rows."""
    reach = max(1, round(3 * deviation))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation).square())
    weights = (weights / weights.sum()).expand(3, 1, 1, -1)
    rows = F.conv2d(F.pad(photo, (reach, reach, 0, 0), mode="replicate"), weights, groups=3)
    return F.conv2d(F.pad(rows, (0, 0, reach, reach), mode="replicate"), weights.transpose(2, 3), groups=3)


def _from(position: float, size: int, full: int) -> slice:
    start = min(int(position * (full - size + 1)), full - size)
    return slice(start, start + size)


def _spread(generator: torch.Generator, count: int, channels: int) -> Tensor:
    """Uniform in [-1, 1), [N, C, 1, 1]."""
    return torch.rand((count, channels, 1, 1), generator=generator) * 2 - 1
