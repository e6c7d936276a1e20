"""The relation of every pixel to every other (losses/semantic_relation.py), packed for a page that shows it by pixel.

Li et al., SRPKD, equation 7, at the middle tap: with the pixels f_i as rows of F, A = F F^T and A'_i = A_i / |A_i|_2.
Row i of A' is what the loss compares for pixel i, and what the page draws when pixel i is chosen.
"""

import base64
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.losses.precision import centre, rescale
from understudy.losses.semantic_relation import DEAD

CELLS = 800  # of a map, at most: beyond, cells of the map are the means over k x k pixels
BYTES = 3_000_000  # of all matrices together, at most, before base64 makes them a third longer
FEWEST = 2  # images, even where they take more
STEPS = 127  # quantisation: an entry is its row's largest magnitude times n / 127, n in [-127, 127]


def relation_matrix(features: Tensor, centred: bool, side: int = 1) -> Tensor:
    """A' of one image, float64 [M, M], with zero rows for dead pixels. features: [C, H, W].

    side: an entry is the mean of A' over side x side pixels i and as many pixels j; M is the number of such blocks,
    and pixels at the lower and right edge that fill none are left out. With 1 it is A' itself.
    """
    height, width = features.shape[1:]
    pixels = features.double().flatten(1)  # [C, H, W] -> [C, N]
    pixels = rescale(centre(pixels, 1) if centred else pixels, (0, 1))
    # |A_i|^2 = f_i^T F F^T f_i, so that A, which a large image has no memory for, is never made.
    squared = (pixels * (pixels @ pixels.mT @ pixels)).sum(0)  # [N]
    live = squared > DEAD
    normalised = pixels * (live / squared.where(live, 1).sqrt())
    rows, columns = (
        F.avg_pool2d(part.view(-1, height, width), side).flatten(1) for part in (normalised, pixels)
    )  # [C, N] -> [C, M]
    return rows.mT @ columns


def side_for(size: tuple[int, int]) -> int:
    """The smallest k for which a map of k x k blocks has at most CELLS cells. size: (H, W) of the features."""
    side = 1
    while (size[0] // side) * (size[1] // side) > CELLS:
        side += 1
    return side


def pack(matrix: Tensor) -> dict[str, Any]:
    """A matrix [M, M] as base64 of uint8 (128 is zero) with the largest magnitude of each row beside it."""
    largest = matrix.abs().amax(1, keepdim=True)  # [M, 1]
    steps = (matrix / largest.where(largest > 0, 1) * STEPS).round() + 128
    return {
        "rows": base64.b64encode(steps.to(torch.uint8).numpy().tobytes()).decode("ascii"),
        "scale": [float(f"{value:.6g}") for value in largest[:, 0].tolist()],
    }


def relations(features: Mapping[str, Tensor], centred: bool) -> dict[str, Any]:
    """What the page's script reads. features: by network, [n, C, h, w] each, all of one n, h and w.

    `rows`, `columns`: cells of a map. `side`: pixels of the features along one side of a cell. `images`: for each
    image that fits into BYTES, a packed matrix by network.
    """
    first = next(iter(features.values()))
    count, size = len(first), (first.shape[2], first.shape[3])
    side = side_for(size)
    rows, columns = size[0] // side, size[1] // side
    fitting = BYTES // (len(features) * (rows * columns) ** 2)
    images = [
        {name: pack(relation_matrix(maps[index], centred, side)) for name, maps in features.items()}
        for index in range(min(count, max(FEWEST, fitting)))
    ]
    return {"rows": rows, "columns": columns, "side": side, "centred": centred, "images": images}
