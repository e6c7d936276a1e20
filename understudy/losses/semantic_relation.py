"""Which pixels of an image belong together, taught without an adapter (Li et al., SRPKD, ECCV 2020, equation 7).

With the pixels of one image's feature map as the rows f_i of F [N, C],

    A = F F^T,   A'_i = A_i / |A_i|_2,   loss = |A'_teacher - A'_student|

Different from the paper, on purpose: scaled so that a weight means the same at every resolution,

    l1n = mean_i |A't_i - A's_i|_1 / sqrt(N)      in [0, 2]
    l2n = |A't - A's|_F^2 / 2N                    in [0, 2], in [0, 1] for features >= 0

never stored as N x N, and centred on request: features after a ReLU share a large mean, which makes any two maps look
alike. A dead pixel (f_i = 0) has the relation 0 to every pixel.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.arch.base import MIN_PIXELS
from understudy.errors import UserError
from understudy.losses.precision import centre, rescale, widen

DEAD = 1e-24  # |A_i|^2 of rescaled features at or under which a pixel counts as dead
BLOCK = 2**20  # entries of A held at a time, over the whole batch: 4 MiB in float32


def relation_loss(teacher: Tensor, student: Tensor, norm: Literal["l1", "l2"], centred: bool) -> Tensor:
    """l1n or l2n, averaged over the batch: a scalar in [0, 2]. No gradient reaches the teacher.

    teacher: [B, Ct, H, W], student: [B, Cs, H, W], any widths. centred: subtract each channel's mean over an image.
    Each image is compared with itself alone, so that a batch of one is enough. Not changed by an orthogonal map of
    either side's channels or by a positive factor on either side. Computed in float32, or float64 for float64
    features, also under autocast. l2 takes O(N C) memory and l1 O(N C) with fixed blocks, but O(N^2 C) time.
    Raises UserError on an unknown norm, on maps that differ in size and on maps of fewer than 16 pixels.
    """
    if norm not in ("l1", "l2"):
        raise UserError(f"semantic relation: norm {norm!r} is neither l1 nor l2")
    if teacher.ndim != 4 or student.ndim != 4 or teacher[:, 0].shape != student[:, 0].shape:
        shapes = f"{list(teacher.shape)} and {list(student.shape)}"
        raise UserError(f"semantic relation: teacher and student must share [B, *, H, W], found {shapes}")
    pixels = student.shape[2] * student.shape[3]
    if pixels < MIN_PIXELS:
        raise UserError(
            f"semantic relation: a map of {pixels} pixels has no relations; tap one of {MIN_PIXELS} or more, or train "
            "at a larger prepare.size"
        )
    with torch.autocast(student.device.type, enabled=False):
        theirs, ours = _pixels(teacher.detach(), centred), _pixels(student, centred)
        return (by_gram(theirs, ours) if norm == "l2" else by_row_blocks(theirs, ours)).mean()


def by_gram(teacher: Tensor, student: Tensor) -> Tensor:
    """l2n of each image [B], from [B, Ct, N] and [B, Cs, N], without A: exact, since A has rank C.

    |A't - A's|_F^2 = N_t + N_s - 2 <Ps Pt^T, Fs Ft^T>_F, with P = F / |A_i| by columns and N_t, N_s the live pixels.
    """
    (p_teacher, live_teacher), (p_student, live_student) = _normalised(teacher), _normalised(student)
    shared = (p_student @ p_teacher.mT * (student @ teacher.mT)).sum((1, 2))  # [B, Cs, Ct] twice -> [B]
    # The difference of equal numbers may round to just under zero.
    return (((live_teacher + live_student) / 2 - shared) / student.shape[2]).clamp_min(0)


def by_row_blocks(teacher: Tensor, student: Tensor) -> Tensor:
    """l1n of each image [B], from [B, Ct, N] and [B, Cs, N], a block of rows of A at a time."""
    return _RowBlocks.apply(teacher, student) / student.shape[2] ** 1.5


def _pixels(features: Tensor, centred: bool) -> Tensor:
    pixels = widen(features).flatten(2)  # [B, C, H, W] -> [B, C, N]
    return rescale(centre(pixels, 2) if centred else pixels, (1, 2))


def _normalised(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """F / |A_i| [B, C, N], zero where a pixel is dead, and the number of live pixels of each image [B]."""
    gram = pixels @ pixels.mT  # [B, C, C]
    squared = (pixels * (gram @ pixels)).sum(1, keepdim=True)  # [B, 1, N]: |A_i|^2 = f_i^T F^T F f_i
    # A_ii alone is |f_i|^2. The bound changes nothing but a sum that has lost its digits to much larger pixels.
    squared = squared.maximum(pixels.square().sum(1, keepdim=True).square())
    live = squared > DEAD
    return pixels * (live / squared.where(live, 1).sqrt()), live.sum((1, 2))


class _RowBlocks(torch.autograd.Function):
    """Sum over i and j of |A't_ij - A's_ij| for each image, and its gradient to the student.

    The gradient is the sum of the blocks' own, up to the factor that the image's loss gets later. So that each block
    adds its part while it is at hand: nothing of size N^2 is kept for the backward pass, or computed again in it.
    """

    @staticmethod
    def forward(ctx: Any, teacher: Tensor, student: Tensor) -> Tensor:
        batch, _, pixels = student.shape
        total = student.new_zeros(batch)
        gradient = torch.zeros_like(student) if ctx.needs_input_grad[1] else None
        for rows in _blocks(batch, pixels):
            ours, inverse = _relations(student, rows)
            difference = ours - _relations(teacher, rows)[0]  # [B, R, N]
            total += difference.abs().sum((1, 2))
            if gradient is not None:
                sign = difference.sign_()
                # through the normalisation: d|.|/dA_i = (s - a <s, a>) / |A_i|
                along = (sign * ours).sum(2, keepdim=True)  # [B, R, 1]
                d_block = sign.sub_(ours.mul_(along)).mul_(inverse)  # [B, R, N]
                # A_ij = f_i . f_j: the block is linear in its own rows and in all columns
                gradient[:, :, rows] += student @ d_block.mT  # [B, C, R]
                gradient.baddbmm_(student[:, :, rows], d_block)  # [B, C, N]
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * factor[:, None, None]


def _blocks(batch: int, pixels: int) -> Iterator[slice]:
    rows = max(1, BLOCK // (batch * pixels))
    return (slice(start, start + rows) for start in range(0, pixels, rows))


def _relations(pixels: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Rows of A' [B, R, N] and 1 / |A_i| [B, R, 1], both zero where a pixel is dead."""
    block = pixels[:, :, rows].mT @ pixels
    squared = block.square().sum(2, keepdim=True)
    live = squared > DEAD
    inverse = live / squared.where(live, 1).sqrt()
    return block.mul_(inverse), inverse
