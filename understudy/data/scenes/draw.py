"""One pair of the embedded data set: a street's label map and its photo, from (seed, split, index) alone."""

import numpy as np
from numpy.typing import NDArray

from understudy.data.scenes import layout, weather
from understudy.data.scenes.classes import Label
from understudy.data.scenes.paint import paint
from understudy.data.scenes.view import Camera, Canvas
from understudy.data.terms import SPLITS

SUPERSAMPLING = 3


def draw(seed: int, split: str, index: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw pair `index` of a split. Pairs are independent: none needs another to be drawn before it.

    seed: >= 0. split: train, val or test. size: height and width in pixels.
    Returns the photo uint8 [H, W, 3] and the label map uint8 [H, W] of `classes.Label`.
    """
    canvas, photo = _painted(seed, split, index, size)
    return photo, _majority(canvas.label)


def draw_instances(
    seed: int, split: str, index: int, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16]]:
    """The same photo and label map, and instance ids uint16 [H, W]: of each car and each person one of its own, of all
    else the class, as Cityscapes has them."""
    canvas, photo = _painted(seed, split, index, size)
    label = _majority(canvas.label)
    nearest = _samples(canvas.thing).max(axis=0)  # [sH, sW] -> [H, W]; things are painted from far to near
    apart = np.isin(label, (Label.CAR, Label.PEDESTRIAN))
    return photo, label, np.where(apart, len(Label) + nearest, label).astype(np.uint16)


def _painted(seed: int, split: str, index: int, size: tuple[int, int]) -> tuple[Canvas, NDArray[np.uint8]]:
    """The canvas of a pair, and its photo uint8 [H, W, 3]."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    kind = weather.sample_kind(rng)
    air = weather.sample(rng, kind)
    street = layout.sample(rng, weather.KINDS[kind].people, weather.KINDS[kind].traffic, kind == "rain")
    height, width = (SUPERSAMPLING * side for side in size)
    camera = Camera(
        height=rng.uniform(1.5, 2.1),
        focal=min(height, width) * rng.uniform(0.68, 0.86),
        horizon=height * rng.uniform(0.50, 0.60),
        centre=width * rng.uniform(0.40, 0.60),
    )
    canvas = Canvas(camera, height, width)
    paint(canvas, street, air, rng)
    light = weather.through_air(canvas.light, canvas.depth, air)
    light = _samples(light).mean(axis=0)  # [sH, sW, 3] -> [H, W, 3]
    return canvas, weather.photograph(light, air, rng)


def _samples(image: NDArray) -> NDArray:
    """The s*s samples of each pixel: [sH, sW, ...] -> [s*s, H, W, ...]."""
    steps = range(SUPERSAMPLING)
    return np.stack([image[i::SUPERSAMPLING, j::SUPERSAMPLING] for i in steps for j in steps])


def _majority(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The commonest class among the samples of each pixel, [sH, sW] -> [H, W]; the lowest class id among equals."""
    samples = _samples(label)  # [s*s, H, W]
    present = np.flatnonzero(np.bincount(label.ravel())).astype(np.uint8)
    votes = np.stack([np.add.reduce(samples == value, axis=0, dtype=np.uint8) for value in present])  # [K, H, W]
    return present[votes.argmax(axis=0)]
