"""Scores of translated test images: every metric from one look of the judge at every image, with bootstrap intervals.

`observe` looks; a `Scorer` knows the real photos and the resamples, which all models share; `difference` compares two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from understudy.data.prepared import class_plane, to_unit
from understudy.metrics import protocol
from understudy.metrics.bootstrap import draw, interval
from understudy.metrics.frechet import Gaussian, Moments, frechet_distance
from understudy.metrics.judge import JudgeNet, predict
from understudy.metrics.kid import kernel_distance, pair_terms, weighted_kernel_distance
from understudy.metrics.segmentation import class_iou, confusion_matrices, mean_iou, pixel_accuracy


@dataclass(frozen=True)
class Observation:
    """What the judge saw in N images. features: float64 [N, D]. confusion: int64 [N, K, K], as in segmentation.py."""

    features: Tensor
    confusion: Tensor

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Estimate:
    """A metric's value on all n test images and its 95 % interval. resampled: float64 [R], values on the resamples."""

    value: float
    low: float
    high: float
    n: int
    resampled: Tensor = field(repr=False, compare=False)

    def plain(self) -> dict[str, float | int]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@torch.no_grad()
def observe(judge: JudgeNet, photos: Tensor, inputs: Tensor, ignore: int | None, batch_size: int = 50) -> Observation:
    """Show every image to the judge once, in fp32. photos: uint8 [N, 3, H, W]; inputs: label maps as in `Split`.

    The judge must be in eval mode: otherwise an image's score would depend on its neighbours in the batch.
    """
    if judge.training:
        raise ValueError("the judge is in training mode; call judge.eval() first")
    labels = class_plane(inputs)  # [N, H, W]
    if photos.dtype != torch.uint8 or photos[:, 0].shape != labels.shape:
        raise ValueError(f"expected uint8 [N, 3, H, W] and [N, H, W], found {photos.dtype} {list(photos.shape)} and "
                         f"{list(labels.shape)}")  # fmt: skip
    device = next(judge.parameters()).device
    features, confusion = [], []
    for some, truth in zip(photos.split(batch_size), labels.split(batch_size), strict=True):
        logits, seen = judge.observe(to_unit(some.to(device)))
        features.append(seen.double().cpu())
        confusion.append(confusion_matrices(truth, predict(logits, ignore).cpu(), judge.num_classes, ignore))
    return Observation(torch.cat(features), torch.cat(confusion))


class Scorer:
    """Scores models against the same real photos, on the same resamples.

    real: the real test photos as observed. resamples: of the bootstrap. seed: of the resamples.
    """

    def __init__(self, real: Observation, resamples: int, seed: int) -> None:
        self.real = real
        self._weights = draw(len(real), resamples, seed)  # [R, N]
        self._real_gaussians: list[Gaussian] | None = None

    def skipped(self) -> dict[str, int]:
        """Metrics that the test split is too small for, with the number of images that they need."""
        dims = self.real.features.shape[1]
        needed = {metric.name: metric.minimum(dims) for metric in protocol.SCORED}
        return {name: count for name, count in needed.items() if len(self.real) < count}

    def score_real(self) -> dict[str, Estimate]:
        """What the judge reads in the real photos: the ceiling of the metrics that compare with label maps."""
        return self._segmentation(self.real)

    def score(self, fake: Observation) -> dict[str, Estimate]:
        """All metrics of images made from the real photos' label maps, in the same order, less the skipped ones."""
        self._fits(fake)
        scores = self._segmentation(fake)
        if protocol.FRECHET not in self.skipped():
            scores[protocol.FRECHET] = self._frechet(fake)
        if protocol.KID not in self.skipped():
            terms = pair_terms(self.real.features, fake.features)
            value = kernel_distance(self.real.features, fake.features)
            scores[protocol.KID] = self._estimate(protocol.KID, value, weighted_kernel_distance(terms, self._weights))
        return scores

    def score_classes(self, observation: Observation) -> dict[int, Estimate]:
        """IoU of each class that the label maps contain."""
        self._fits(observation)
        values = class_iou(observation.confusion.sum(0))  # [K]
        resampled = class_iou(self._resampled_confusion(observation))  # [R, K]
        return {
            index: self._estimate(protocol.MIOU, value, resampled[:, index])
            for index, value in enumerate(values.tolist())
            if value == value  # not NaN
        }

    def l1_to_teacher(self, fake: Tensor, teacher: Tensor) -> Estimate:
        """Mean absolute difference of two models' images in [0, 1]. fake, teacher: uint8 [N, 3, H, W]."""
        if fake.shape != teacher.shape or len(fake) != len(self.real):
            raise ValueError(f"expected {len(self.real)} images each, found {list(fake.shape)}, {list(teacher.shape)}")
        distances = torch.stack(
            [(a.int() - b.int()).abs().double().mean() / 255 for a, b in zip(fake, teacher, strict=True)]
        )
        resampled = self._weights @ distances / len(distances)  # [R, N] [N] -> [R]
        return self._estimate(protocol.L1_TO_TEACHER, distances.mean().item(), resampled)

    def _fits(self, observation: Observation) -> None:
        if observation.features.shape != self.real.features.shape:
            raise ValueError(f"expected features {list(self.real.features.shape)}, "
                             f"found {list(observation.features.shape)}")  # fmt: skip

    def _segmentation(self, observation: Observation) -> dict[str, Estimate]:
        total, resampled = observation.confusion.sum(0), self._resampled_confusion(observation)
        return {
            name: self._estimate(name, statistic(total).item(), statistic(resampled))
            for name, statistic in ((protocol.MIOU, mean_iou), (protocol.PIXEL_ACCURACY, pixel_accuracy))
        }

    def _resampled_confusion(self, observation: Observation) -> Tensor:
        counts = observation.confusion.double().flatten(1)  # [N, K, K] -> [N, KK]
        return (self._weights @ counts).unflatten(1, observation.confusion.shape[1:])  # [R, KK] -> [R, K, K]

    def _frechet(self, fake: Observation) -> Estimate:
        if self._real_gaussians is None:
            self._real_gaussians = self._gaussians(self.real)
        pairs = zip(self._real_gaussians, self._gaussians(fake), strict=True)
        value, *resampled = [frechet_distance(real, other) for real, other in pairs]
        return self._estimate(protocol.FRECHET, value, torch.tensor(resampled, dtype=torch.float64))

    def _gaussians(self, observation: Observation) -> list[Gaussian]:
        """The Gaussian of all images, then those of the resamples (mean and unbiased covariance under weights)."""
        features, count = observation.features, len(observation)
        whole = Moments(features.shape[1]).add(features).gaussian()
        centred = (
            features - whole.mean
        )  # [N, D]; near zero, so that subtracting the mean's square below costs no digits
        means = self._weights @ centred / count  # [R, N] [N, D] -> [R, D]
        return [whole] + [
            Gaussian(
                whole.mean + mean,
                ((centred.T * weights) @ centred - count * torch.outer(mean, mean)) / (count - 1),
            )
            for weights, mean in zip(self._weights, means, strict=True)
        ]

    def _estimate(self, name: str, value: float, resampled: Tensor) -> Estimate:
        return estimate(protocol.METRICS[name], value, resampled, len(self.real))


def estimate(metric: protocol.Metric, value: float, resampled: Tensor, count: int) -> Estimate:
    """A metric of `count` images with its interval, which leaves what the metric cannot be out."""
    low, high = interval(value, resampled)
    smallest = -torch.inf if metric.smallest is None else metric.smallest
    largest = torch.inf if metric.largest is None else metric.largest
    return Estimate(value, max(low, smallest), min(high, largest), count, resampled)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second, with an interval of its own. Both must come from one Scorer, whose resamples pair them."""
    value, resampled = first.value - second.value, first.resampled - second.resampled
    low, high = interval(value, resampled)
    return Estimate(value, low, high, first.n, resampled)


def differences(first: Mapping[str, Estimate], second: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """`difference` for every metric that both models have."""
    return {name: difference(estimate, second[name]) for name, estimate in first.items() if name in second}
