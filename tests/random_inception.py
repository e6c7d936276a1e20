"""An Inception network with random weights: the real one, which FID is defined by, is 91 MB that tests do not fetch."""

import functools
import hashlib
import io
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.metrics.inception import build_inception


@functools.cache
def state_dict() -> dict[str, Tensor]:
    """Weights under the published file's names, the same every time; every layer passes a signal on."""
    return dict(_tensors(build_inception(), torch.Generator().manual_seed(0)))


@functools.cache
def content() -> tuple[bytes, str]:
    """A file of them as torch.save writes it, and its SHA-256."""
    stream = io.BytesIO()
    torch.save(state_dict(), stream)
    return stream.getvalue(), hashlib.sha256(stream.getvalue()).hexdigest()


def _tensors(net: nn.Module, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue  # the published file is older than these
        noise = torch.randn(value.shape, generator=generator)
        if value.dim() > 1:
            yield name, noise * (2 / value[0].numel()) ** 0.5  # He et al. 2015
        else:
            yield name, noise * 0.1 + (1 if name.endswith(("bn.weight", "running_var")) else 0)


def pictures(seed: int, count: int, size: tuple[int, int] = (48, 40)) -> Tensor:
    """uint8 [N, 3, H, W]: coloured blobs, coarse and fine, that a network tells apart better than noise."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [F.interpolate(torch.rand(count, 3, side, side, generator=generator), size, mode="bicubic")
              for side in (2, 5, 17)]  # fmt: skip
    shares = torch.rand(3, count, 1, 1, 1, generator=generator).softmax(0)
    return (255 * sum(share * shape for share, shape in zip(shares, shapes, strict=True))).clamp(0, 255).to(torch.uint8)
