"""Where one thing ends and the next of its class begins: the edges of instances, GauGAN's second input.

A label map says "car" of a whole row of parked cars. As in pix2pixHD (Wang et al. 2018, section 3.3) and GauGAN (Park
et al. 2019) a network is shown where an instance's id changes. The edges are those of the instance map at the size that
the network sees, as there.
"""

import numpy as np
from numpy.typing import NDArray


def instance_edges(ids: NDArray) -> NDArray[np.uint8]:
    """ids [H, W], of whatever type and values -> uint8 [H, W]: 1 where a pixel's id is not that of its left, right,
    upper or lower neighbour, else 0. Nothing lies beyond the border."""
    edges = np.zeros(ids.shape, np.uint8)
    across, down = ids[:, 1:] != ids[:, :-1], ids[1:] != ids[:-1]  # [H, W - 1], [H - 1, W]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def with_edges(labels: NDArray[np.uint8], ids: NDArray) -> NDArray[np.uint8]:
    """Class indices uint8 [H, W] and instance ids [H, W] -> an input that has both, uint8 [H, W, 2]: classes, edges."""
    return np.stack([labels, instance_edges(ids)], axis=-1)
