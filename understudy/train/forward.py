"""How networks run in a training: in its precision, and a few images at a time where a batch is too large for memory.

A batch that is run in parts gives the same outputs, joined, so that every loss is still that of the whole batch,
kernel alignment included. Only these outputs are kept: in the backward pass each part is computed once more, and its
activations are there while it is its turn (Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost; for losses
over a batch, Gao et al. 2021). It costs a second forward pass. Networks whose output for one image depends on the
others must see the whole batch: batch norms are refused (division.py).
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Autocast = Callable[[], AbstractContextManager]


@dataclass(frozen=True)
class Forward:
    """autocast: the context that gives the precision. images: how many at a time; None: all."""

    autocast: Autocast = contextlib.nullcontext
    images: int | None = None

    def __call__(self, net: nn.Module, images: Tensor, **options: Any) -> Any:
        """`net(images, **options)`. images: [B, ...]; the net returns a tensor [B, ...], or tuples and mappings of
        them."""
        if self.images is None or len(images) <= self.images:
            return self.whole(net, images, **options)

        def run(part: Tensor) -> Any:
            return self.whole(net, part, **options)

        again = torch.is_grad_enabled()
        parts = images.split(self.images)
        return _joined([checkpoint(run, part, use_reentrant=False) if again else run(part) for part in parts])

    def whole(self, net: nn.Module, *given: Tensor, **options: Any) -> Any:
        """The same on all images at once: for a network that counts its passes, or looks across a batch."""
        with self.autocast():
            return net(*given, **options)


def _joined(parts: Sequence[Any]) -> Any:
    """One output of outputs alike in structure, tensors joined along the batch."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(_joined(list(entries)) for entries in zip(*parts, strict=True))
    return torch.cat(list(parts))
