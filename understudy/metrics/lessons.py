"""What each judge learns from: batches of real images of its kind of data, changed at random, and a loss.

A segmenter and an inverter see real pairs under a common crop and the photo's own exposure, so that they read content
and not the light. A classifier would tell two sets of photos apart by anything that differs between them, by their
compression, sharpness or exposure: it sees as many inputs as photos, every one cropped, recoloured and blurred or noisy
more strongly than two collections of photos differ.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.data.prepared import DatasetInfo, Split, batch_indices, class_plane, mirror, to_unit, windows
from understudy.data.terms import Kind, Side
from understudy.metrics.augmentation import Window, blur_or_noise, crop_labels, crop_photos, recolour, window

SMALLEST_CROP = 0.7  # of height and width
CONTRAST, BRIGHTNESS, COLOUR = 0.25, 0.2, 0.08  # largest changes of a photo in [-1, 1]: a factor less 1, and offsets
# Of the classifier, whose domains differ in what a photographer may choose: the same, stronger.
STRONG_CROP = 0.5
STRONG_CONTRAST, STRONG_BRIGHTNESS, STRONG_COLOUR = 0.5, 0.4, 0.2
STRONG_BLUR, STRONG_NOISE = 1.0, 0.2  # pixels; of 2 from black to white


class Lesson(Protocol):
    """batch: of step `index` (from 0), photos float [B, 3, H, W] and their targets. loss: of the output, in fp32,
    for these targets. quantity: what the loss is, in a log."""

    quantity: ClassVar[str]

    def batch(self, index: int) -> tuple[Tensor, Tensor]: ...

    def loss(self, output: Tensor, targets: Tensor) -> Tensor: ...


class _Paired:
    """What a segmenter and an inverter share: pairs in order, under a common crop, the photo recoloured."""

    def __init__(self, split: Split, info: DatasetInfo, batch_size: int, seed: int) -> None:
        self.split, self.size, self.batch_size, self.seed = split, info.size, batch_size, seed
        self.generator = torch.Generator().manual_seed(seed)

    def _pairs(self, others: Tensor, index: int) -> tuple[Tensor, Tensor, Window]:
        """Photos float [B, 3, H, W], done; the other side of the pairs, not yet cropped; and the crop."""
        indices, flips = batch_indices(len(self.split), self.batch_size, self.seed, index)
        photos, chosen = (windows(mirror(images[indices], flips), self.size, self.seed, index)
                          for images in (self.split.photos, others))  # fmt: skip
        part = window(self.size, SMALLEST_CROP, self.generator)
        photos = recolour(crop_photos(to_unit(photos), part), CONTRAST, BRIGHTNESS, COLOUR, self.generator)
        return photos, chosen, part


class Segmenting(_Paired):
    """Label maps of photos. The loss is a cross-entropy weighted by the inverse square root of class frequency: poles
    and people count, noise in rare classes does not dominate."""

    quantity: ClassVar[str] = "cross_entropy"

    def __init__(self, split: Split, info: DatasetInfo, batch_size: int, seed: int) -> None:
        super().__init__(split, info, batch_size, seed)
        self.labels = class_plane(split.inputs)
        self.weights = class_weights(self.labels, info.num_classes, info.ignore)

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Targets: uint8 [B, H, W], class indices."""
        photos, labels, part = self._pairs(self.labels, index)
        return photos, crop_labels(labels, part)

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return weighted_cross_entropy(output, targets, self.weights.to(output.device))


class Inverting(_Paired):
    """Input photos of output photos. The loss is L1, as the metric is."""

    quantity: ClassVar[str] = "l1"

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Targets: float [B, 3, H, W] in [-1, 1]."""
        photos, inputs, part = self._pairs(self.split.inputs, index)
        return photos, crop_photos(to_unit(inputs), part)

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return F.l1_loss(output, targets)


class Classifying:
    """As many inputs as photos in every batch, however many there are of each. The loss is a cross-entropy."""

    quantity: ClassVar[str] = "cross_entropy"

    def __init__(self, split: Split, info: DatasetInfo, batch_size: int, seed: int) -> None:
        self.split, self.size, self.each, self.seed = split, info.size, max(batch_size // 2, 1), seed
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Targets: float [B], 1 for the target domain."""
        sides: tuple[tuple[Tensor, Side], ...] = ((self.split.inputs, "input"), (self.split.photos, "photo"))
        photos = torch.cat([self._domain(images, side, index) for images, side in sides])
        return photos, torch.cat([torch.zeros(self.each), torch.ones(self.each)])

    def _domain(self, images: Tensor, side: Side, index: int) -> Tensor:
        indices, flips = batch_indices(len(images), self.each, self.seed, index, side)
        chosen = to_unit(windows(mirror(images[indices], flips), self.size, self.seed, index, side))
        parts = [crop_photos(one, window(self.size, STRONG_CROP, self.generator)) for one in chosen.split(1)]
        coloured = recolour(torch.cat(parts), STRONG_CONTRAST, STRONG_BRIGHTNESS, STRONG_COLOUR, self.generator)
        return blur_or_noise(coloured, STRONG_BLUR, STRONG_NOISE, self.generator)

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, targets)


LESSONS: Mapping[Kind, type[Segmenting] | type[Inverting] | type[Classifying]] = {
    "labels": Segmenting,
    "photos": Inverting,
    "unpaired": Classifying,
}


def class_weights(labels: Tensor, num_classes: int, ignore: int | None) -> Tensor:
    """Weights float32 [K] in proportion to frequency ** -0.5, 1 on average over pixels; 0 where absent or ignored."""
    counts = torch.bincount(labels.flatten().long(), minlength=num_classes).float()
    if ignore is not None and ignore < num_classes:
        counts[ignore] = 0
    weights = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0)
    return weights * counts.sum() / (weights * counts).sum().clamp(min=1e-12)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over pixels of -log p(class). logits: [N, K, H, W]; labels: [N, H, W]; weights: [K], 0 ignores."""
    # Flat, because the two-dimensional kernel has no deterministic form on a GPU.
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2)  # [N, K, H, W] -> [NHW, K]
    return F.cross_entropy(flat, labels.flatten().long(), weights)
