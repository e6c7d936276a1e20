"""Percentile bootstrap over test images (Efron and Tibshirani 1993, chapter 13), corrected for its own bias.

A resample is a vector of how often each image was drawn, so that statistics that are sums over images are scored by
one matrix product. Teacher, student and baseline are scored on the same resamples, and with each image its input and,
where there are pairs, its real photo are drawn too: a difference between two models has an interval of its own, far
narrower than the two apart. Of unpaired data inputs and real photos are two samples, drawn each for itself.

The correction. The Frechet distance of n images exceeds that of infinitely many by about b / n, and duplicates raise
that of a resample by as much again, which would put the interval above the value it belongs to. The mean of the
resampled values less the value estimates this second excess, and the interval is moved down by it. What it then
covers is the value expected of another test set of the same size, which is what the value itself estimates; the first
b / n stays in both, and largely cancels between models scored on the same images. For averages over images the
correction is close to zero. With 8 images a feature the interval is a third wider than the true spread: it errs on the
side of caution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from understudy.data.terms import Kind

COVERAGE = 0.95


@dataclass(frozen=True)
class Resamples:
    """What all models are scored on: how often each image is in each resample, float64, rows summing to the images.

    inputs: [R, N], for inputs and what is made of them. photos: [R, M], for the real photos; of pairs the same draws.
    """

    inputs: Tensor
    photos: Tensor


def resample(kind: Kind, inputs: int, photos: int, resamples: int, seed: int) -> Resamples:
    """Draw R resamples of a test split with N inputs and M real photos, which are as many where they are pairs."""
    if kind != "unpaired":
        if inputs != photos:
            raise ValueError(f"{inputs} inputs and {photos} photos are no pairs")
        drawn = draw(inputs, resamples, seed)
        return Resamples(drawn, drawn)
    generator = torch.Generator().manual_seed(seed)  # one after the other, so that equal numbers are not drawn alike
    return Resamples(_draw(inputs, resamples, generator), _draw(photos, resamples, generator))


def draw(count: int, resamples: int, seed: int) -> Tensor:
    """How often each of `count` images is in each resample of as many: float64 [R, N], rows summing to N."""
    return _draw(count, resamples, torch.Generator().manual_seed(seed))


def _draw(count: int, resamples: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(count, (resamples, count), generator=generator)
    return torch.zeros(resamples, count, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones((), dtype=torch.float64).expand(resamples, count)
    )


def interval(value: float, resampled: Tensor) -> tuple[float, float]:
    """The bounds of the 95 % interval. value: on all images; resampled: float64 [R], on the resamples.

    A resample on which the statistic does not exist (NaN: a class that was not drawn) is left out.
    """
    resampled = resampled[resampled.isfinite()]
    tails = torch.tensor([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], dtype=torch.float64)
    low, high = (torch.quantile(resampled, tails) - (resampled.mean() - value)).tolist()
    return low, high
