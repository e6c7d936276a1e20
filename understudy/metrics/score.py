"""Scores of translated test images: every metric from one look of the judge at every image, with bootstrap intervals.

`observe` looks; a `Scorer` knows the real photos and the resamples, which all models share; `difference` compares two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from understudy.data.prepared import Split, class_plane, to_unit
from understudy.data.terms import Kind
from understudy.metrics import protocol
from understudy.metrics.bootstrap import Resamples, interval
from understudy.metrics.frechet import Gaussian, Moments, frechet_distance
from understudy.metrics.judge import NETS
from understudy.metrics.judge_net import JudgeNet
from understudy.metrics.kid import (
    kernel_distance,
    pair_terms,
    two_sample_kernel_distance,
    weighted_kernel_distance,
)
from understudy.metrics.segmentation import class_iou


@dataclass(frozen=True)
class Observation:
    """What the judge saw in N images. features: float64 [N, D]. readings: [N, ...], as its `read` gives them."""

    features: Tensor
    readings: Tensor

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
def observe(judge: JudgeNet, photos: Tensor, inputs: Tensor | None, batch_size: int = 50) -> Observation:
    """Show every image to the judge once, in fp32.

    photos: uint8 [N, 3, H, W]. inputs: what they were made of or belong to, in the same order, as in `Split`; None
    where they have none, which a judge of unpaired data does not look at. The judge must be in eval mode: otherwise an
    image's score would depend on its neighbours in the batch.
    """
    if judge.training:
        raise ValueError("the judge is in training mode; call judge.eval() first")
    given = photos if inputs is None else class_plane(inputs)
    sized = given if judge.kind == "labels" else given[:, 0]  # [N, H, W]
    if photos.dtype != torch.uint8 or sized.shape != photos[:, 0].shape:
        raise ValueError(f"expected uint8 [N, 3, H, W] and as many inputs, found {photos.dtype} {list(photos.shape)} "
                         f"and {list(given.shape)}")  # fmt: skip
    device = next(judge.parameters()).device
    features, readings = [], []
    for some, truth in zip(photos.split(batch_size), given.split(batch_size), strict=True):
        output, seen = judge.observe(to_unit(some.to(device)))
        features.append(seen.double().cpu())
        readings.append(judge.read(output, truth))
    return Observation(torch.cat(features), torch.cat(readings))


def observe_real(judge: JudgeNet, pairs: Split) -> Observation:
    """What the judge sees in a split's real photos: [M, ...]."""
    return observe(judge, pairs.photos, None if judge.kind == "unpaired" else pairs.inputs)


class Scorer:
    """Scores models against the same real photos, on the same resamples.

    real: the test split's real photos as observed. drawn: the resamples of its inputs and photos.
    """

    def __init__(self, kind: Kind, real: Observation, drawn: Resamples) -> None:
        if len(real) != drawn.photos.shape[1]:
            raise ValueError(f"{len(real)} real photos, resamples of {drawn.photos.shape[1]}")
        self.kind, self.real, self.drawn = kind, real, drawn
        self._inputs = drawn.inputs.shape[1]
        self._both = min(len(real), self._inputs)  # images that a distance of two sets rests on
        self._real_gaussians: list[Gaussian] | None = None

    def skipped(self) -> dict[str, int]:
        """Metrics that the test split is too small for, with the number of images that they need."""
        dims = self.real.features.shape[1]
        needed = {metric.name: metric.minimum(dims) for metric in protocol.JUDGED[self.kind]}
        return {name: count for name, count in needed.items() if self._both < count}

    def score_real(self) -> dict[str, Estimate]:
        """What the judge reads in the real photos: how far a perfect translation could come."""
        return self._read(self.real, self.drawn.photos)

    def score(self, fake: Observation) -> dict[str, Estimate]:
        """All metrics of what was made of the test split's inputs, in their order, less the skipped ones."""
        self._fits(fake)
        scores = self._read(fake, self.drawn.inputs)
        frechet, kid = protocol.FRECHET[self.kind], protocol.KID[self.kind]
        if frechet not in self.skipped():
            scores[frechet] = self._frechet(frechet, fake)
        if kid not in self.skipped():
            value, resampled = self._kernel(fake)
            scores[kid] = self._estimate(kid, value, resampled, self._both)
        return scores

    def score_classes(self, observation: Observation) -> dict[int, Estimate]:
        """IoU of each class that the label maps contain. Data of another kind have no classes: empty."""
        if self.kind != "labels":
            return {}
        self._fits(observation)
        values = class_iou(observation.readings.sum(0))  # [K]
        resampled = class_iou(_resampled(observation, self.drawn.inputs))  # [R, K]
        return {
            index: self._estimate(protocol.MIOU, value, resampled[:, index], len(observation))
            for index, value in enumerate(values.tolist())
            if value == value  # not NaN
        }

    def l1_to_teacher(self, fake: Tensor, teacher: Tensor) -> Estimate:
        """Mean absolute difference of two models' images in [0, 1]. fake, teacher: uint8 [N, 3, H, W]."""
        if fake.shape != teacher.shape or len(fake) != self._inputs:
            raise ValueError(f"expected {self._inputs} images each, found {list(fake.shape)}, {list(teacher.shape)}")
        distances = torch.stack(
            [(a.int() - b.int()).abs().double().mean() / 255 for a, b in zip(fake, teacher, strict=True)]
        )
        resampled = self.drawn.inputs @ distances / len(distances)  # [R, N] [N] -> [R]
        return self._estimate(protocol.L1_TO_TEACHER, distances.mean().item(), resampled, len(fake))

    def _fits(self, observation: Observation) -> None:
        expected = [self._inputs, self.real.features.shape[1]]
        if list(observation.features.shape) != expected:
            raise ValueError(f"expected features {expected}, found {list(observation.features.shape)}")

    def _read(self, observation: Observation, weights: Tensor) -> dict[str, Estimate]:
        total, resampled = observation.readings.sum(0), _resampled(observation, weights)
        return {
            name: self._estimate(name, statistic(total).item(), statistic(resampled), len(observation))
            for name, statistic in NETS[self.kind].statistics.items()
        }

    def _kernel(self, fake: Observation) -> tuple[float, Tensor]:
        """The kernel distance on all images and on the resamples: of pairs without what a pair has in common."""
        real, made = self.real.features, fake.features
        if self.kind == "unpaired":
            return two_sample_kernel_distance(real, made).item(), two_sample_kernel_distance(real, made, self.drawn)
        return kernel_distance(real, made), weighted_kernel_distance(pair_terms(real, made), self.drawn.inputs)

    def _frechet(self, name: str, fake: Observation) -> Estimate:
        if self._real_gaussians is None:
            self._real_gaussians = _gaussians(self.real.features, self.drawn.photos)
        pairs = zip(self._real_gaussians, _gaussians(fake.features, self.drawn.inputs), strict=True)
        value, *resampled = [frechet_distance(real, other) for real, other in pairs]
        return self._estimate(name, value, torch.tensor(resampled, dtype=torch.float64), self._both)

    def _estimate(self, name: str, value: float, resampled: Tensor, count: int) -> Estimate:
        return estimate(protocol.METRICS[name], value, resampled, count)


def _resampled(observation: Observation, weights: Tensor) -> Tensor:
    """The sums of readings on the resamples. weights: [R, N] -> [R, ...]."""
    flat = observation.readings.double().flatten(1)  # [N, ...] -> [N, P]
    return (weights @ flat).unflatten(1, observation.readings.shape[1:])  # [R, P] -> [R, ...]


def _gaussians(features: Tensor, weights: Tensor) -> list[Gaussian]:
    """The Gaussian of all images, then those of the resamples (mean and unbiased covariance under weights)."""
    count = len(features)
    whole = Moments(features.shape[1]).add(features).gaussian()
    # [N, D]; near zero, so that subtracting the mean's square below costs no digits
    centred = features - whole.mean
    means = weights @ centred / count  # [R, N] [N, D] -> [R, D]
    return [whole] + [
        Gaussian(
            whole.mean + mean,
            ((centred.T * drawn) @ centred - count * torch.outer(mean, mean)) / (count - 1),
        )
        for drawn, mean in zip(weights, means, strict=True)
    ]


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


def plain(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float | int]]:
    """Each of them for JSON."""
    return {name: estimate.plain() for name, estimate in estimates.items()}
