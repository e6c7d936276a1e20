"""Kernel distance between two sets of features: unbiased squared maximum mean discrepancy (Binkowski et al. 2018).

Kernel: (x.y / D + 1)^3. Estimator: Gretton et al. 2012, equation 4, the mean over pairs of images i != j of

    h(i, j) = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)

It leaves out k(x_i, y_i) too, unlike the common form for two independent samples: here y_i is made from the label map
of x_i, the two resemble each other, and that would count as likeness of the distributions. One block holds all images
(no averaging over random subsets), so that the value is deterministic.

`two_sample_kernel_distance` is the common form, k(x_i, y_i) included: for unpaired data, which are two samples, and for
numbers that are compared with others'. It is what averages over ever more random subsets tend to.
"""

import torch
from torch import Tensor

from understudy.metrics.bootstrap import Resamples


def pair_terms(real: Tensor, fake: Tensor) -> Tensor:
    """h of all pairs of images, 0 on the diagonal. real, fake: features [N, D], rows paired -> float64 [N, N]."""
    if real.shape != fake.shape or real.dim() != 2 or len(real) < 2:
        raise ValueError(f"expected equal [N, D] with N of 2 or more, found {list(real.shape)} and {list(fake.shape)}")
    x, y = real.double(), fake.double()
    cross = _kernel(x, y)
    terms = _kernel(x, x) + _kernel(y, y) - cross - cross.T
    return terms.fill_diagonal_(0)


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """The unbiased estimate; it may fall below 0 when the sets are alike. real, fake: features [N, D], rows paired."""
    terms = pair_terms(real, fake)
    return weighted_kernel_distance(terms, torch.ones(1, len(terms), dtype=torch.float64)).item()


def weighted_kernel_distance(terms: Tensor, weights: Tensor) -> Tensor:
    """The estimate on resamples. terms: [N, N] of `pair_terms`; weights: float64 [R, N], times drawn -> [R].

    Two copies of one image are no pair: a resample keeps the estimator's expectation.
    """
    pairs = weights.sum(1).square() - weights.square().sum(1)
    return _weighted(terms, weights) / pairs


def two_sample_kernel_distance(real: Tensor, fake: Tensor, drawn: Resamples | None = None) -> Tensor:
    """The common form of the estimate (Binkowski et al. 2018, section 4), on all images or on resamples.

    real: features [M, D]; fake: [N, D], each of 2 or more; drawn: times that each is drawn. Returns float64 [R]; of all
    images R is 1.
    """
    if real.shape[1:] != fake.shape[1:] or real.dim() != 2 or min(len(real), len(fake)) < 2:
        raise ValueError(f"expected [M, D] and [N, D] of 2 or more, found {list(real.shape)} and {list(fake.shape)}")
    x, y = real.double(), fake.double()
    one = Resamples(torch.ones(1, len(y), dtype=torch.float64), torch.ones(1, len(x), dtype=torch.float64))
    photos, inputs = (drawn or one).photos, (drawn or one).inputs
    cross = ((inputs @ _kernel(y, x)) * photos).sum(1) / (inputs.sum(1) * photos.sum(1))  # [R, N] [N, M] -> [R]
    return _within(_kernel(x, x), photos) + _within(_kernel(y, y), inputs) - 2 * cross


def _within(kernel: Tensor, weights: Tensor) -> Tensor:
    """The mean over pairs of different images of one set. kernel: [N, N]; weights: [R, N] -> [R]."""
    return weighted_kernel_distance(kernel.fill_diagonal_(0), weights)


def _weighted(terms: Tensor, weights: Tensor) -> Tensor:
    """The sum of terms [N, N] under every row of weights [R, N] -> [R]."""
    return ((weights @ terms) * weights).sum(1)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
