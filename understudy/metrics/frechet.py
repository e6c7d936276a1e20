"""Frechet distance between two sets of features, each taken as a Gaussian (Heusel et al. 2017, equation 6; Dowson and
Landau 1982).

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

Everything is float64, and the root is taken of the symmetric C1^(1/2) C2 C1^(1/2), which has the eigenvalues of C1
C2: it is real by construction, where the general matrix root that is commonly used turns complex or NaN for few
samples.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from understudy.errors import UserError


class Moments:
    """Mean and covariance of features that arrive in batches, in memory that does not grow with their number.

    Batches are merged by the pairwise update of Chan et al. (1983), which loses no precision when the mean is large.
    """

    def __init__(self, dims: int) -> None:
        self.count = 0
        self._mean = torch.zeros(dims, dtype=torch.float64)
        self._scatter = torch.zeros(dims, dims, dtype=torch.float64)  # sum of (x - mean)(x - mean)^T

    @property
    def dims(self) -> int:
        return self._mean.numel()

    def add(self, features: Tensor) -> "Moments":
        """Take in a batch [N, D] of any float type; returns itself."""
        if features.dim() != 2 or features.shape[1] != self.dims:
            raise ValueError(f"expected features [N, {self.dims}], found {list(features.shape)}")
        if len(features) == 0:
            return self
        features = features.detach().cpu().double()
        batch = Moments(self.dims)
        batch.count = len(features)
        batch._mean = features.mean(0)
        batch._scatter = (features - batch._mean).T @ (features - batch._mean)  # [D, N] [N, D] -> [D, D]
        return self.merge(batch)

    def merge(self, other: "Moments") -> "Moments":
        """Take in what another one has seen; returns itself."""
        total = self.count + other.count
        if total:
            step = other._mean - self._mean
            self._scatter = (
                self._scatter + other._scatter + torch.outer(step, step) * (self.count * other.count / total)
            )
            self._mean = self._mean + step * (other.count / total)
            self.count = total
        return self

    def gaussian(self, per_dim: int = 2) -> "Gaussian":
        """The Gaussian with this mean and the unbiased covariance.

        per_dim: samples that each dimension needs; 0 takes two or more in all, and a covariance without full rank.
        Raises UserError below that.
        """
        needed = max(per_dim * self.dims, 2)
        if self.count < needed:
            narrower = " or take a narrower judge (judge.width)" if per_dim else ""
            raise UserError(
                f"Frechet distance: {self.count} images are too few for {self.dims} features, {needed} are "
                f"needed; evaluate on more images{narrower}"
            )
        return Gaussian(self._mean, self._scatter / (self.count - 1))


@dataclass(frozen=True)
class Gaussian:
    """mean: float64 [D]. covariance: float64 [D, D], symmetric."""

    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance; kept, since one real set is compared with several models."""
        _finite(self.mean, self.covariance)
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """d^2 of equation 6 (the squared distance is what the literature reports), at least 0.

    Raises UserError when a moment is NaN or infinite.
    """
    _finite(second.mean, second.covariance)
    between = first.root @ second.covariance @ first.root
    cross = torch.linalg.eigvalsh((between + between.T) / 2).clamp(min=0).sqrt().sum()
    means = (first.mean - second.mean).square().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * cross
    return max((means + spread).item(), 0.0)


def _finite(*tensors: Tensor) -> None:
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise UserError("Frechet distance: a feature is NaN or infinite; look at the images that were scored")
