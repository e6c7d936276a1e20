"""Frechet distances of bootstrap resamples where features outnumber images: products of images in place of covariances.

The value itself takes the eigenvalues of a [D, D] matrix (frechet.py), seconds for Inception's 2048 features, and an
interval takes hundreds of them. But with C2 = B^T B, of N centred images B [N, D], the eigenvalues of C1 C2 are those
of B C1 B^T [N, N] and zeros, and under a resample's weights that matrix follows from products between images, made
once. A resample has about 0.63 N different images, and costs their number cubed.
"""

import torch
from torch import Tensor


def resampled_distances(real: Tensor, fake: Tensor, weights: Tensor, fixed: Tensor | None = None) -> Tensor:
    """d^2 of the real and the fake images on every resample.

    real, fake: features [N, D], rows paired and drawn together; weights: float64 [R, N], times drawn, rows summing to
    N; fixed: features [M, D] of further real images, which every resample has once. Returns float64 [R].
    """
    if real.shape != fake.shape or real.dim() != 2 or weights.shape[1:] != (len(real),):
        raise ValueError(f"expected equal [N, D] and weights [R, N], found {list(real.shape)}, {list(fake.shape)} and "
                         f"{list(weights.shape)}")  # fmt: skip
    x, y = real.double(), fake.double()
    z = x[:0] if fixed is None else fixed.double()
    # Near zero, so that subtracting squares of means costs no digits. A distance does not depend on the origin.
    origin = torch.cat([x, z]).mean(0)
    x, y, z = x - origin, y - origin, z - origin
    count, total = len(x), len(x) + len(z)
    real_means = (weights @ x + z.sum(0)) / total  # [R, N] [N, D] -> [R, D]
    fake_means = weights @ y / count  # [R, D]
    real_traces = weights @ x.square().sum(1) + z.square().sum() - total * real_means.square().sum(1)  # [R]
    fake_traces = weights @ y.square().sum(1) - count * fake_means.square().sum(1)  # [R]
    spread = real_traces / (total - 1) + fake_traces / (count - 1)
    across, still = y @ x.T, y @ z.T  # [N, N], [N, M]
    still = still @ still.T  # y (z^T z) y^T: [N, N]
    shifts = real_means @ y.T  # y m1 of every resample: [R, N]
    cross = [_root_trace(across, still, shift, drawn, total) for shift, drawn in zip(shifts, weights, strict=True)]
    distances = (real_means - fake_means).square().sum(1) + spread - 2 * torch.stack(cross)
    return distances.clamp(min=0)


def _root_trace(across: Tensor, still: Tensor, shift: Tensor, drawn: Tensor, total: int) -> Tensor:
    """tr (C1 C2)^(1/2) of one resample. across: y x^T, still: y (z^T z) y^T, both [N, N]; shift: y m1 [N]; drawn: [N].

    total: images behind C1.
    """
    kept = drawn > 0
    drawn, some, shift, count = drawn[kept], across[kept][:, kept], shift[kept], drawn.sum()
    # y C1 y^T: [K, K], of the K images that were drawn at all
    between = (some * drawn) @ some.T + still[kept][:, kept] - total * torch.outer(shift, shift)
    column = between @ (drawn / count)  # [K]
    between = between - column[:, None] - column[None, :] + column @ drawn / count  # B C1 B^T, B = y - m2
    root = drawn.sqrt()
    symmetric = torch.outer(root, root) * between / ((total - 1) * (count - 1))
    return torch.linalg.eigvalsh(symmetric).clamp(min=0).sqrt().sum()
