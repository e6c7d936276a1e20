"""A pinhole camera over a flat street, and the canvas that its surfaces are painted on.

World coordinates in metres: x to the right, y up from the ground, z ahead of the camera. Every surface of a street is
horizontal (the ground), parallel to the street (a wall) or across it (a face), so that the point behind each pixel has
a closed form and textures lie in true perspective.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]  # float32 wherever it has the size of an image


@dataclass(frozen=True)
class Camera:
    """height: above the ground, in metres. focal, horizon, centre: in pixels of the canvas (vanishing point: centre,
    horizon)."""

    height: float
    focal: float
    horizon: float
    centre: float


@dataclass(frozen=True)
class Patch:
    """The part of a surface that falls on the canvas: a rectangle of pixels and the surface point behind each.

    along: metres along the surface, z of a wall and x of a face. up: metres above the ground. inside: which pixels of
    the rectangle belong to the surface. depth: z. All [h, w] after broadcasting.
    """

    rows: slice
    columns: slice
    along: Array
    up: Array
    inside: NDArray[np.bool_]
    depth: Array


class Canvas:
    """Linear light [H, W, 3], label [H, W], depth in metres [H, W] and thing [H, W], painted from far to near.

    thing: which of the things that are told apart is seen there, from 1; 0 for all else. painting: which one is being
    painted.
    """

    def __init__(self, camera: Camera, height: int, width: int) -> None:
        self.camera = camera
        self.light = np.zeros((height, width, 3), np.float32)
        self.label = np.zeros((height, width), np.uint8)
        self.depth = np.full((height, width), 1e4, np.float32)
        self.thing = np.zeros((height, width), np.uint16)
        self.painting = 0
        # The slope of the ray through each row and column: metres down, or to the right, for each metre ahead.
        self.down = ((np.arange(height) + 0.5 - camera.horizon) / camera.focal).astype(np.float32)  # [H]
        self.right = ((np.arange(width) + 0.5 - camera.centre) / camera.focal).astype(np.float32)  # [W]

    def wall(self, x: float, z: tuple[float, float], y: tuple[float, float]) -> Patch | None:
        """The plane at `x` between two depths and two heights; None when no pixel sees it."""
        if abs(x) < 1e-3:
            return None
        first, last = np.searchsorted(self.right, sorted((x / z[0], x / z[1])))
        rows = self._rows(y, z)
        if first == last or rows.start == rows.stop:
            return None
        depth = (x / self.right[first:last])[None, :]  # [1, w]
        up = self.camera.height - self.down[rows, None] * depth  # [h, w]
        inside = (up >= y[0]) & (up <= y[1])
        return Patch(rows, slice(first, last), np.broadcast_to(depth, up.shape), up, inside, depth)

    def face(self, z: float, x: tuple[float, float], y: tuple[float, float]) -> Patch | None:
        """The plane at depth `z` between two positions across the street and two heights; None when unseen."""
        first, last = np.searchsorted(self.right, (x[0] / z, x[1] / z))
        rows = self._rows(y, (z, z))
        if first == last or rows.start == rows.stop:
            return None
        along, up = np.empty((2, rows.stop - rows.start, last - first), np.float32)  # both [h, w]
        along[:] = self.right[first:last] * z
        up[:] = (self.camera.height - self.down[rows] * z)[:, None]
        return Patch(rows, slice(first, last), along, up, np.ones(up.shape, bool), np.full((1, 1), z, np.float32))

    def ground(self) -> tuple[slice, Array, Array]:
        """The rows below the horizon, with x and z of the ground behind each pixel, both [h, W]."""
        first = int(np.searchsorted(self.down, 1e-3))
        z = (self.camera.height / self.down[first:])[:, None]  # [h, 1]
        return slice(first, len(self.down)), self.right[None, :] * z, np.broadcast_to(z, (len(z), len(self.right)))

    def paint(self, patch: Patch, light: Array, label: NDArray[np.uint8] | int, inside: NDArray[np.bool_]) -> None:
        """Cover the pixels `inside` [h, w] of a patch. light [h, w, 3] or broadcastable; label: class id, or [h, w]."""
        inside = inside & patch.inside
        place = (patch.rows, patch.columns)
        np.copyto(self.light[place], light, where=inside[..., None])
        np.copyto(self.label[place], np.asarray(label, np.uint8), where=inside)
        np.copyto(self.depth[place], patch.depth, where=inside)
        np.copyto(self.thing[place], np.uint16(self.painting), where=inside)

    def _rows(self, y: tuple[float, float], z: tuple[float, float]) -> slice:
        """The rows between which heights `y` fall at depths `z`."""
        slopes = [(self.camera.height - height) / depth for height in y for depth in z]
        return slice(*np.searchsorted(self.down, (min(slopes), max(slopes))))
