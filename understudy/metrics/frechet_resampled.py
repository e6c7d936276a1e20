"""Frechet distances of bootstrap resamples where features outnumber images: products of images in place of covariances.

The value itself takes the eigenvalues of a [D, D] matrix (frechet.py), seconds for Inception's 2048 features, and an
interval takes hundreds of them. But with C2 = B^T B, of N centred images B [N, D], the eigenvalues of C1 C2 are those
of B C1 B^T [N, N] and zeros, and under a resample's weights that matrix follows from products between images, made
once. A resample has about 0.63 N different images, and costs their number cubed.
"""

import torch
from torch import Tensor

from understudy.metrics.bootstrap import Resamples


def resampled_distances(real: Tensor, fake: Tensor, drawn: Resamples, fixed: Tensor | None = None) -> Tensor:
    """d^2 of the real and the fake images on every resample.

    real: features [M, D] of the real photos; fake: [N, D], of what was made of the inputs; drawn: of both; fixed:
    features [K, D] of further real images, which every resample has once. Returns float64 [R].
    """
    shapes = [list(part.shape) for part in (real, fake, drawn.photos, drawn.inputs)]
    if [real.shape[1:], len(real), len(fake)] != [fake.shape[1:], drawn.photos.shape[1], drawn.inputs.shape[1]]:
        raise ValueError(f"expected equal [M, D] and [N, D], drawn by [R, M] and [R, N], found {shapes}")
    x, y = real.double(), fake.double()
    z = x[:0] if fixed is None else fixed.double()
    # Near zero, so that subtracting squares of means costs no digits. A distance does not depend on the origin.
    origin = torch.cat([x, z]).mean(0)
    x, y, z = x - origin, y - origin, z - origin
    count, total = len(y), len(x) + len(z)
    real_means = (drawn.photos @ x + z.sum(0)) / total  # [R, M] [M, D] -> [R, D]
    fake_means = drawn.inputs @ y / count  # [R, D]
    real_traces = drawn.photos @ x.square().sum(1) + z.square().sum() - total * real_means.square().sum(1)  # [R]
    fake_traces = drawn.inputs @ y.square().sum(1) - count * fake_means.square().sum(1)  # [R]
    spread = real_traces / (total - 1) + fake_traces / (count - 1)
    across, still = y @ x.T, y @ z.T  # [N, M], [N, K]
    still = still @ still.T  # y (z^T z) y^T: [N, N]
    shifts = real_means @ y.T  # y m1 of every resample: [R, N]
    rows = zip(shifts, drawn.photos, drawn.inputs, strict=True)
    cross = [_root_trace(across, still, shift, photos, inputs, total) for shift, photos, inputs in rows]
    distances = (real_means - fake_means).square().sum(1) + spread - 2 * torch.stack(cross)
    return distances.clamp(min=0)


def _root_trace(across: Tensor, still: Tensor, shift: Tensor, photos: Tensor, inputs: Tensor, total: int) -> Tensor:
    """tr (C1 C2)^(1/2) of one resample. across: y x^T [N, M]; still: y (z^T z) y^T [N, N]; shift: y m1 [N].

    photos [M], inputs [N]: times drawn; total: images behind C1.
    """
    seen, kept = photos > 0, inputs > 0
    drawn, some, shift, count = inputs[kept], across[kept][:, seen], shift[kept], inputs.sum()
    # y C1 y^T: [K, K], of the K images that were drawn at all
    between = (some * photos[seen]) @ some.T + still[kept][:, kept] - total * torch.outer(shift, shift)
    column = between @ (drawn / count)  # [K]
    between = between - column[:, None] - column[None, :] + column @ drawn / count  # B C1 B^T, B = y - m2
    root = drawn.sqrt()
    symmetric = torch.outer(root, root) * between / ((total - 1) * (count - 1))
    return torch.linalg.eigvalsh(symmetric).clamp(min=0).sqrt().sum()
