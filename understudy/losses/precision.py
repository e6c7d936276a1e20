"""Losses built on sums of products over thousands of pixels keep no digit in 16 bits: they run in float32 or wider."""

import torch
from torch import Tensor


def widen(tensor: Tensor) -> Tensor:
    """float32 of a 16-bit tensor, the tensor itself when it is wider; the gradient comes back in the tensor's type."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def centre(tensor: Tensor, dim: int) -> Tensor:
    """`tensor` less its mean over `dim`. What is constant over `dim` becomes exactly zero.

    A mean is rounded, and x - mean(x) of a constant x would be rounding noise, which a scale-free loss takes for
    features. The first element goes first; the result, and so its gradient, does not depend on that shift.
    """
    shifted = tensor - tensor.detach().narrow(dim, 0, 1)
    return shifted - shifted.mean(dim, keepdim=True)


def rescale(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """`tensor` divided by its largest magnitude over `dims`, so that no product of it can over- or underflow.

    Only for functions that do not depend on that scale: it is a constant to the gradient. Zeros stay zeros.
    """
    scale = tensor.detach().abs().amax(dims, keepdim=True)
    return tensor / scale.where(scale != 0, 1)
