"""Percentile bootstrap over test images (Efron and Tibshirani 1993, chapter 13), corrected for its own bias.

A resample is a vector of how often each image was drawn, so that statistics that are sums over images are scored by
one matrix product. Teacher, student and baseline are scored on the same resamples, and with each image its label map
and real photo are drawn too: a difference between two models has an interval of its own, far narrower than the two
apart.

The correction. The Frechet distance of n images exceeds that of infinitely many by about b / n, and duplicates raise
that of a resample by as much again, which would put the interval above the value it belongs to. The mean of the
resampled values less the value estimates this second excess, and the interval is moved down by it. What it then
covers is the value expected of another test set of the same size, which is what the value itself estimates; the first
b / n stays in both, and largely cancels between models scored on the same images. For averages over images the
correction is close to zero. With 8 images a feature the interval is a third wider than the true spread: it errs on the
side of caution.
"""

import torch
from torch import Tensor

COVERAGE = 0.95


def draw(count: int, resamples: int, seed: int) -> Tensor:
    """How often each of `count` images is in each resample of as many: float64 [R, N], rows summing to N."""
    generator = torch.Generator().manual_seed(seed)
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
