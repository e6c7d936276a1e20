"""How alike two networks' features are, whatever their widths (Jin et al., CAT, CVPR 2021, section 3.3).

With the samples of X and Y as rows, and linear kernels K = X X^T and L = Y Y^T,

    KA(X, Y) = <K, L>_F / (|K|_F |L|_F) = |Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)    in [0, 1]

The paper's abstract names the global, centred form and its released code computes the batch, uncentred one. They are
different functions, so the form has a name here. Different from that code: a zero norm gives 0 and not NaN, and the
result does not depend on how many devices share a batch.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from understudy.arch.base import MIN_PIXELS
from understudy.errors import UserError
from understudy.losses.precision import centre, rescale, widen

Form = Literal["global_centred", "global", "batch_centred", "batch", "release"]


def alignment_loss(teacher: Mapping[str, Tensor], student: Mapping[str, Tensor], form: Form) -> Tensor:
    """Minus the sum of KA over the taps, a scalar in [-taps, 0]; no gradient reaches the teacher.

    teacher, student: features [N, C, H, W] by tap. Raises UserError when the taps differ, on maps of fewer than 16
    pixels, and as kernel_alignment does.
    """
    if teacher.keys() != student.keys():
        raise UserError(f"kernel alignment: the teacher gives {sorted(teacher)}, the student {sorted(student)}")
    for tap, features in student.items():
        if (pixels := features.shape[2] * features.shape[3]) < MIN_PIXELS:
            raise UserError(
                f"kernel alignment: the map of {tap} has {pixels} pixels, too few to compare; tap one of {MIN_PIXELS} "
                "or more, or train at a larger prepare.size"
            )
    return -torch.stack([kernel_alignment(teacher[tap].detach(), student[tap], form) for tap in teacher]).sum()


def kernel_alignment(x: Tensor, y: Tensor, form: Form) -> Tensor:
    """KA of two feature maps [N, C1, H, W] and [N, C2, H, W], a scalar in [0, 1] up to rounding.

    global: each pixel of each image is a sample. batch: each image is one, so that its pixels must be worth comparing
    as they stand. centred: the samples' mean is subtracted. release: the batch form, uncentred; of a single image it is
    1 and teaches nothing. All-zero (centred: constant) features give 0 with a zero gradient.
    Computed in float32, or float64 for float64 features, also under autocast.
    Raises UserError on an unknown form, on samples that do not pair up, and on a centred batch of one image.
    """
    if form not in get_args(Form):
        raise UserError(f"kernel alignment: form {form!r} is none of {', '.join(get_args(Form))}")
    sides = (0, 2, 3) if form.startswith("global") else (0,)
    if x.ndim != 4 or y.ndim != 4 or any(x.shape[side] != y.shape[side] for side in sides):
        raise UserError(
            f"kernel alignment, form {form}: features of shapes {list(x.shape)} and {list(y.shape)} do not pair up"
        )
    if form == "batch_centred" and len(x) < 2:
        raise UserError("kernel alignment, form batch_centred: a batch of one image has no variation; use 2 or more")
    with torch.autocast(x.device.type, enabled=False):
        x, y = _samples(x, form), _samples(y, form)
        (n, p), q = x.shape, y.shape[1]
        # n^2 (p + q) against n (p^2 + q^2 + p q) multiplications, and the smaller one has the smaller matrices too
        return by_samples(x, y) if n * (p + q) < p * p + q * q + p * q else by_features(x, y)


def by_samples(x: Tensor, y: Tensor) -> Tensor:
    """KA of samples [n, p] and [n, q] from their n x n kernels: for few long samples."""
    k, l = x @ x.T, y @ y.T  # [n, n]  # noqa: E741
    return _cosine((k * l).sum(), k.square().sum(), l.square().sum())


def by_features(x: Tensor, y: Tensor) -> Tensor:
    """The same number from the p x p, q x q and q x p products: for many short samples."""
    return _cosine((y.T @ x).square().sum(), (x.T @ x).square().sum(), (y.T @ y).square().sum())


def _samples(features: Tensor, form: Form) -> Tensor:
    wide = widen(features)
    rows = wide.movedim(1, -1).flatten(0, 2) if form.startswith("global") else wide.flatten(1)  # [NHW, C] or [N, CHW]
    return rescale(centre(rows, 0) if form.endswith("centred") else rows, (0, 1))


def _cosine(product: Tensor, x_squared: Tensor, y_squared: Tensor) -> Tensor:
    # Rescaled features have squared norms >= 1, or exactly 0: then the product is 0 too, and so is every gradient.
    norms = [squared.where(squared != 0, 1).sqrt() for squared in (x_squared, y_squared)]
    return product / (norms[0] * norms[1])
