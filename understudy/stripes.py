"""An input that needs no data set: every class, or every grey, as a stripe."""

import numpy as np
from numpy.typing import NDArray

from understudy.data.edges import with_edges


def stripes(size: tuple[int, int], classes: int, edges: bool, count: int) -> NDArray[np.uint8]:
    """`count` inputs as upright stripes: label maps uint8 [N, H, W] with every class in them, with an edge around each,
    uint8 [N, H, W, 2], where networks see edges; or, without classes, grey photos uint8 [N, H, W, 3].

    size: height and width in pixels.
    """
    height, width = size
    line = (np.arange(width) * (classes or 256) // width).astype(np.uint8)  # [W]
    one: NDArray[np.uint8] = np.tile(line, (height, 1))  # [W] -> [H, W]
    if not classes:
        one = np.repeat(one[..., None], 3, axis=2)  # [H, W] -> [H, W, 3]
    elif edges:
        one = with_edges(one, one)  # [H, W] -> [H, W, 2]
    return np.repeat(one[None], count, axis=0)
