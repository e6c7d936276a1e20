"""Light, air and camera: what the weather does to a scene, from the sun's direction to the sensor's noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from understudy.data.scenes.view import Array

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Weather:
    """Colours are linear light. sun: a surface that faces the sun gets this much; ambient: one that faces the sky.

    sun_direction: unit vector towards the sun. fog: extinction per metre. clouds, wet, lamps: in [0, 1], how cloudy the
    sky is, how much the road mirrors, and how far lamps and windows are lit.
    """

    sun: Array
    sun_direction: Array
    ambient: Array
    zenith: Array
    haze: Array
    fog: float
    clouds: float
    wet: float
    lamps: float
    exposure: float
    noise: float


@dataclass(frozen=True)
class _Kind:
    """A kind of weather; `people` and `traffic` are what it does to the street, by which a label map gives it away."""

    chance: float
    sun: Rgb
    ambient: Rgb
    zenith: Rgb
    haze: Rgb
    fog: float
    clouds: float
    wet: float
    lamps: float
    elevation: tuple[float, float]  # of the sun, in degrees
    noise: float
    people: float
    traffic: float


KINDS = {
    "clear": _Kind(0.50, (1.75, 1.55, 1.25), (0.40, 0.47, 0.60), (0.13, 0.29, 0.66), (0.55, 0.70, 0.88), 0.0015, 0.35,
                   0.0, 0.0, (42, 62), 0.010, 1.3, 1.0),
    "overcast": _Kind(0.20, (0.12, 0.12, 0.12), (0.86, 0.89, 0.94), (0.60, 0.65, 0.72), (0.84, 0.86, 0.90), 0.003, 0.9,
                      0.1, 0.0, (40, 60), 0.012, 1.0, 1.0),
    "rain": _Kind(0.12, (0.0, 0.0, 0.0), (0.56, 0.60, 0.66), (0.34, 0.38, 0.44), (0.56, 0.59, 0.63), 0.010, 0.7,
                  1.0, 0.35, (40, 60), 0.016, 1.2, 0.9),
    "fog": _Kind(0.08, (0.05, 0.05, 0.05), (0.80, 0.81, 0.83), (0.74, 0.76, 0.79), (0.78, 0.79, 0.81), 0.022, 0.0,
                 0.3, 0.2, (40, 60), 0.012, 0.25, 0.5),
    "dusk": _Kind(0.10, (0.75, 0.36, 0.16), (0.20, 0.22, 0.34), (0.10, 0.14, 0.34), (0.95, 0.52, 0.30), 0.004, 0.5,
                  0.0, 1.0, (9, 14), 0.022, 0.5, 1.2),
}  # fmt: skip


def sample_kind(rng: np.random.Generator) -> str:
    """The name of a kind of weather, by its chance."""
    names = list(KINDS)
    chances = np.array([KINDS[name].chance for name in names])
    return names[rng.choice(len(names), p=chances / chances.sum())]


def sample(rng: np.random.Generator, name: str) -> Weather:
    """The weather of one photo. The sun stands on the left, the side of the oncoming lane, and behind the camera."""
    kind = KINDS[name]
    elevation = np.radians(rng.uniform(*kind.elevation))
    azimuth = np.radians(rng.normal(50, 9))  # from straight behind the camera towards the left
    direction = np.array(
        (-np.sin(azimuth) * np.cos(elevation), np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)), np.float32
    )
    tint = rng.normal(1, 0.025, 3)

    def coloured(light: Rgb) -> Array:
        return (np.array(light) * tint).astype(np.float32)

    return Weather(
        coloured(kind.sun), direction, coloured(kind.ambient), coloured(kind.zenith), coloured(kind.haze),
        kind.fog * rng.uniform(0.75, 1.25), kind.clouds * rng.uniform(0.5, 1.1), kind.wet, kind.lamps,
        rng.uniform(0.9, 1.12), kind.noise,
    )  # fmt: skip


def through_air(light: Array, depth: Array, weather: Weather) -> Array:
    """What is left of `light` [H, W, 3] after `depth` [H, W] metres of air, and the haze that takes its place."""
    clear = np.exp(-weather.fog * np.minimum(depth, 500.0))[..., None]
    return light * clear + weather.haze * (1 - clear)


def photograph(light: Array, weather: Weather, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear light [H, W, 3] -> sRGB-like bytes of the same shape: vignette, film curve, noise."""
    height, width = light.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    vignette = 1 - 0.13 * (x * x + y * y)  # [H, W]
    exposed = light * vignette[..., None] * (0.62 * weather.exposure)
    # A film's curve (Narkowicz's fit of ACES): contrast in the middle, and a shoulder instead of clipped skies.
    curve = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    # Photons arrive by chance: the noise of a dark pixel is smaller, but after the curve it is seen more.
    grain = rng.normal(0, 1, light.shape).astype(np.float32)
    noisy = curve + weather.noise * grain * np.sqrt(np.maximum(curve, 0.002))
    return np.clip(np.maximum(noisy, 0) ** (1 / 2.2) * 255 + 0.5, 0, 255).astype(np.uint8)
