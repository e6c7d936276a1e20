"""How well predicted classes agree with a label map: mean intersection over union and pixel accuracy.

Everything is computed from one confusion matrix per image: matrices of a set of images add up, so that scoring a
bootstrap resample is a weighted sum.
"""

import torch
from torch import Tensor


def confusion_matrices(labels: Tensor, predicted: Tensor, num_classes: int, ignore: int | None) -> Tensor:
    """Pixels by true and predicted class. labels, predicted: integers [N, H, W] in [0, K) -> int64 [N, K, K].

    Row: the true class; column: the predicted one. Pixels whose true class is `ignore` are not counted, whatever its
    value (255 is common). Raises ValueError for shapes that differ and for classes out of range.
    """
    if labels.shape != predicted.shape or labels.dim() != 3:
        raise ValueError(f"expected equal [N, H, W], found {list(labels.shape)} and {list(predicted.shape)}")
    count = labels.shape[0]
    true, guess = labels.reshape(count, -1).long(), predicted.reshape(count, -1).long()  # [N, H, W] -> [N, HW]
    counted = torch.ones_like(true, dtype=torch.bool) if ignore is None else true != ignore
    image = torch.arange(count, device=true.device)[:, None].expand_as(true)
    image, true, guess = image[counted], true[counted], guess[counted]  # [N, HW] -> [P]
    for name, values in (("labels", true), ("predicted", guess)):
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < num_classes:
            raise ValueError(f"{name}: a class outside 0..{num_classes - 1}")
    cells = (image * num_classes + true) * num_classes + guess
    return torch.bincount(cells, minlength=count * num_classes**2).view(count, num_classes, num_classes)


def class_iou(confusion: Tensor) -> Tensor:
    """Intersection over union by class. confusion: [..., K, K], summed over images -> float64 [..., K] in [0, 1].

    NaN for a class without a single true pixel: it has no score to speak of, and predicting it by mistake already costs
    the class that was there.
    """
    confusion = confusion.double()
    hits = confusion.diagonal(dim1=-2, dim2=-1)  # [..., K, K] -> [..., K]
    present, claimed = confusion.sum(-1), confusion.sum(-2)
    return torch.where(present > 0, hits / (present + claimed - hits), torch.nan)


def mean_iou(confusion: Tensor) -> Tensor:
    """Mean of `class_iou` over the classes present in the true labels. [..., K, K] -> float64 [...]."""
    return class_iou(confusion).nanmean(-1)


def pixel_accuracy(confusion: Tensor) -> Tensor:
    """Share of pixels whose class is right. confusion: [..., K, K] -> float64 [...]."""
    confusion = confusion.double()
    return confusion.diagonal(dim1=-2, dim2=-1).sum(-1) / confusion.sum((-2, -1))
