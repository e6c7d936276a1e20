"""Surfaces: what colour a wall, a road or a tree has at a point given in metres, before light falls on it."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from understudy.data.scenes.layout import Building
from understudy.data.scenes.view import Array

Mask = NDArray[np.bool_]
TILE = 256


@cache
def _tile() -> Array:
    """Noise in [0, 1] that repeats after TILE texels: octaves of smoothed random numbers, the same in every scene."""
    rng = np.random.default_rng(20240501)
    total = np.zeros((TILE, TILE), np.float32)
    for octave in range(6):
        cells = TILE >> (5 - octave)
        coarse = rng.random((cells, cells), np.float32)
        # Bilinear between the cells, wrapped around, so that the tile has no seam.
        position = np.arange(TILE) * cells / TILE
        low = position.astype(int)
        part = (position - low).astype(np.float32)
        high = (low + 1) % cells
        rows = coarse[low] * (1 - part[:, None]) + coarse[high] * part[:, None]  # [TILE, cells]
        total += (rows[:, low] * (1 - part) + rows[:, high] * part) * 0.75**octave
    return np.clip(0.5 + (total - total.mean()) / (4 * total.std()), 0, 1)


def noise(a: Array, b: Array, texels: float, offset: float = 0.0) -> Array:
    """Cloudy noise in [0, 1] at points (a, b) in metres, with `texels` to a metre; features are 1 to 32 texels wide."""
    i = (a * np.float32(texels) + np.float32(offset * 17)).astype(np.int32) % TILE
    j = (b * np.float32(texels) + np.float32(offset * 29)).astype(np.int32) % TILE
    return _tile().ravel().take(i * TILE + j)


def rgb(*colour: float) -> Array:
    """A colour as float32 [3]."""
    return np.array(colour, np.float32)


def facade(building: Building, along: Array, up: Array) -> tuple[Array, Mask, Array]:
    """A house front: windows on a grid, brick or plaster, ledges between floors, dirt at the foot, perhaps a shop.

    along: metres from the building's near end; up: metres above ground; both [h, w].
    Returns albedo [h, w, 3], the windows [h, w], and a number in [0, 1) for each window [h, w] by which it is lit.
    """
    floor = np.floor(up / building.floor_height)
    in_floor = up / building.floor_height - floor
    eaves = up > building.height - 0.35
    tone = (0.80 + 0.34 * noise(along, up, 9, building.phase)) * (0.72 + 0.28 * np.minimum(up / 2.5, 1))
    if building.brick:
        course = (up * 6.0).astype(np.int32) & 1
        tone *= 1 - building.brick * (0.35 * course + 0.9 * (noise(along, up, 60, building.phase) - 0.5))
    tone[in_floor < 0.06] *= 1.25  # the ledge catches light
    tone[eaves] *= 0.62
    albedo = tone[..., None] * rgb(*building.wall)

    bay = np.floor(along / building.bay)
    from_middle = np.abs(along / building.bay - bay - 0.5)
    width, height = building.window
    sill = 0.55 - height / 2
    window = (from_middle < width / 2) & (in_floor > sill) & (in_floor < sill + height) & ~eaves
    frame = (from_middle < width / 2 + 0.07) & (in_floor > sill - 0.05) & (in_floor < sill + height + 0.04)
    albedo[frame & ~window] = np.minimum(np.array(building.wall, np.float32) * 1.5 + 0.06, 0.8)
    if building.shop is not None:
        ground = up < building.floor_height
        window = np.where(ground, (from_middle < 0.44) & (up > 0.5) & (up < building.floor_height * 0.74), window)
        fascia = ground & (up > building.floor_height * 0.76)
        albedo[ground & ~fascia] *= 0.6
        albedo[fascia] = building.shop
    else:
        # Every third bay of the ground floor is a door.
        door = (up < 2.2) & (from_middle < 0.2) & (bay.astype(np.int32) % 3 == 1)
        window &= ~((up < building.floor_height) & (bay.astype(np.int32) % 3 == 1))
        albedo[door] = (0.10, 0.06, 0.04)
    chance = np.abs(np.sin(bay * 12.9898 + floor * 78.233 + building.phase)) * 43758.547 % 1.0
    # Glass: dark, with a brighter upper part (the blind) in some windows.
    blind = chance[..., None] * np.clip((in_floor - sill) / height * 2.2 - 0.9, 0, 1)[..., None]
    glass = rgb(0.030, 0.036, 0.045) + blind * rgb(0.40, 0.38, 0.33)
    # A frame's cross: a bar in the middle of each window.
    glass = np.where((from_middle < 0.035)[..., None], albedo * 0.8, glass)
    albedo = np.where(window[..., None], glass, albedo)
    return albedo, window, chance.astype(np.float32)


def asphalt(x: Array, z: Array, lane: float, centre: float, phase: float) -> Array:
    """Road albedo [h, w, 3]: grain, patches, and darker tracks where wheels run."""
    grey = 0.105 + 0.05 * (noise(x, z, 40, phase) - 0.5) + 0.045 * (noise(x, z, 5, phase) - 0.5)
    in_lane = np.abs(np.abs(x - centre) / lane - 0.5)  # 0 in the middle of a lane, 0.5 at its edges
    grey = grey * (1 - 0.22 * np.exp(-(((in_lane - 0.24) / 0.07) ** 2)))
    grey = np.where(noise(x, z, 2.5, phase + 3) > 0.8, grey * 0.82, grey)
    return grey[..., None] * rgb(1.0, 1.0, 1.04)


def slabs(x: Array, z: Array, phase: float) -> Array:
    """Pavement albedo [h, w, 3]: slabs of 0.9 m, each of its own grey, with dark joints."""
    a, b = x / 0.9, z / 0.9
    joint = (a - np.floor(a) < 0.07) | (b - np.floor(b) < 0.07)
    grey = 0.27 + 0.10 * (noise(np.floor(a), np.floor(b), 23, phase) - 0.5) + 0.08 * (noise(x, z, 12, phase) - 0.5)
    return np.where(joint, grey * 0.66, grey)[..., None] * rgb(1.04, 1.0, 0.93)


def grass(x: Array, z: Array, phase: float) -> Array:
    """Lawn albedo [h, w, 3]."""
    tone = noise(x, z, 30, phase)
    dry = noise(x, z, 4, phase + 5)
    return (0.5 + tone)[..., None] * (rgb(0.085, 0.14, 0.035) + dry[..., None] * rgb(0.06, 0.02, 0.005))


def leaves(hue: float) -> Array:
    """Foliage albedo [3] by season: -1 dark green .. 1 yellow."""
    warmth = float(np.clip(hue, -1, 1))
    if warmth < 0:
        return rgb(0.075, 0.135, 0.04) * (1 + 0.35 * warmth)
    return rgb(0.075, 0.135, 0.04) * (1 - warmth) + rgb(0.36, 0.22, 0.04) * warmth
