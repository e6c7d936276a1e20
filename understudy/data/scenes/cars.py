"""Cars: two boxes, a body and a cabin on it, with glass, wheels, lamps and number plates."""

import numpy as np

from understudy.data.scenes.classes import Label
from understudy.data.scenes.layout import Car
from understudy.data.scenes.materials import rgb
from understudy.data.scenes.shadow import Shadows
from understudy.data.scenes.view import Array, Canvas
from understudy.data.scenes.weather import Weather

DARK = rgb(0.012, 0.012, 0.013)  # tyres, grilles, and what is seen through glass
VAN = 1.9  # cars higher than this have no bonnet to speak of


def paint_car(canvas: Canvas, car: Car, weather: Weather, shadows: Shadows) -> None:
    """The shadow under it, the flank that is turned to the camera, the cabin's end, and the body's end."""
    lit = shadows.at(car.x, car.z + car.length / 2)
    end_light = weather.ambient * 0.75 + weather.sun * max(float(-weather.sun_direction[2]), 0) * lit
    mirrored = weather.haze * 0.30 + weather.zenith * 0.12  # the sky, in glass and paint
    _contact_shadow(canvas, car)
    if abs(car.x) > car.width / 2:  # else the camera looks straight at its end
        _flank(canvas, car, weather, lit, mirrored)
    roof_light = weather.ambient + weather.sun * weather.sun_direction[1] * lit
    _cabin_end(canvas, car, end_light, roof_light, mirrored)
    _body_end(canvas, car, weather, end_light, mirrored)


def _waist(car: Car) -> float:
    """The height at which the body ends and the glass begins."""
    return car.height * 0.56


def _flank(canvas: Canvas, car: Car, weather: Weather, lit: float, mirrored: Array) -> None:
    inwards = -1 if car.x > 0 else 1
    patch = canvas.wall(car.x + inwards * car.width / 2, (car.z, car.z + car.length), (0.05, car.height))
    if patch is None:
        return
    light = weather.ambient * 0.62 + weather.sun * max(float(inwards * weather.sun_direction[0]), 0) * lit
    waist = _waist(car)
    s = patch.along - car.z  # metres from the near end
    lean = np.maximum(patch.up - waist, 0) * 0.7
    bonnet, boot = (0.15, 0.9) if car.height > VAN else (0.45, 1.15)
    near, far = (bonnet, boot) if car.oncoming else (boot * 0.2, bonnet + 0.8)
    cabin = (patch.up > waist) & (s > near + lean) & (s < car.length - far - lean)
    wheel = np.minimum(np.hypot(s - 0.75, patch.up - 0.32), np.hypot(s - car.length + 0.8, patch.up - 0.32))
    pillar = np.abs((s - near - 1.2) % 1.3 - 0.65) > 0.57
    glass = cabin & ~pillar & (patch.up > waist + 0.05) & (patch.up < car.height - 0.12)
    glass &= (s > near + lean + 0.15) & (s < car.length - far - lean - 0.15)
    shade = 0.7 + 0.5 * np.clip(patch.up / waist, 0, 1)
    colour = shade[..., None] * rgb(*car.paint) * light + 0.05 * mirrored
    colour = np.where(glass[..., None], DARK + mirrored * 0.5, colour)
    colour = np.where((wheel < 0.38)[..., None], DARK, colour)
    colour = np.where((wheel < 0.17)[..., None], 0.25 * light, colour)
    canvas.paint(patch, colour, Label.CAR, cabin | (wheel < 0.34) | ((patch.up > 0.2) & (patch.up < waist)))


def _cabin_end(canvas: Canvas, car: Car, end_light: Array, roof_light: Array, mirrored: Array) -> None:
    """The windscreen or the rear window, framed by paint, with the edge of the roof above it."""
    half, waist = car.width / 2, _waist(car)
    van = car.height > VAN
    patch = canvas.face(car.z + (0.2 if van else 0.7), (car.x - half, car.x + half), (waist - 0.25, car.height))
    if patch is None:
        return
    dx = np.abs(patch.along - car.x) / half
    height = np.clip((patch.up - waist) / (car.height - waist), 0, 1)
    taper = (0.05 if van else 0.26) * height
    glass = (dx < 0.86 - taper) & (height > 0.1) & (height < 0.84)
    paint = rgb(*car.paint)
    colour = np.where(glass[..., None], DARK + (0.25 + 0.75 * height)[..., None] * mirrored, paint * end_light * 0.95)
    colour = np.where((height > 0.9)[..., None], paint * roof_light, colour)
    canvas.paint(patch, colour, Label.CAR, dx < 0.97 - taper)


def _body_end(canvas: Canvas, car: Car, weather: Weather, end_light: Array, mirrored: Array) -> None:
    """Lamps (white in front, red behind), bumper, number plate, grille and tyres."""
    half, waist = car.width / 2, _waist(car)
    patch = canvas.face(car.z, (car.x - half, car.x + half), (0.05, waist))
    if patch is None:
        return
    dx = np.abs(patch.along - car.x) / half
    colour = (0.62 + 0.45 * patch.up / waist)[..., None] * rgb(*car.paint) * end_light + 0.04 * mirrored
    colour = np.where((patch.up < 0.45)[..., None], colour * 0.45 + 0.01, colour)
    plate = (dx < 0.26) & (np.abs(patch.up - (0.42 if car.oncoming else 0.55)) < 0.07)
    colour = np.where(plate[..., None], 0.5 * end_light, colour)
    lamp = (dx > 0.62) & (dx < 0.95) & (np.abs(patch.up - waist + 0.16) < 0.10)
    glow, power = (rgb(0.9, 0.86, 0.75), 2.2) if car.oncoming else (rgb(0.42, 0.012, 0.012), 1.0)
    on = max(weather.lamps, 0.12 * weather.wet)
    colour = np.where(lamp[..., None], glow * (end_light * 0.6 + power * on), colour)
    if car.oncoming:
        grille = (dx < 0.5) & (np.abs(patch.up - waist + 0.2) < 0.09)
        colour = np.where(grille[..., None], DARK, colour)
    tyre = (patch.up < 0.30) & (dx > 0.66) & (dx < 0.94)
    colour = np.where(tyre[..., None], DARK, colour)
    canvas.paint(patch, colour, Label.CAR, (patch.up > 0.24) | tyre)


def _contact_shadow(canvas: Canvas, car: Car) -> None:
    """Hardly any light gets under a car, whatever the weather."""
    rows, x, z = canvas.ground()
    first, last = np.searchsorted(-z[:, 0], (-(car.z + car.length + 0.4), -(car.z - 0.5)))
    near = slice(first, last)
    inside = (np.abs(x[near] - car.x) < car.width / 2 + 0.12) & (z[near] > car.z - 0.25)
    band = slice(rows.start + first, rows.start + last)
    ground = canvas.depth[band] >= z[near] - 1e-3  # nothing stands in front
    canvas.light[band] *= np.where((inside & ground)[..., None], np.float32(0.3), np.float32(1))
