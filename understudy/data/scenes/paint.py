"""A street onto a canvas, from the sky to the nearest car: painter's order decides what hides what."""

import numpy as np

from understudy.data.scenes import layout
from understudy.data.scenes.cars import paint_car
from understudy.data.scenes.classes import Label
from understudy.data.scenes.materials import asphalt, facade, grass, leaves, noise, rgb, slabs
from understudy.data.scenes.objects import paint_lamp, paint_person, paint_sign, paint_tree
from understudy.data.scenes.shadow import Shadows
from understudy.data.scenes.view import Array, Canvas
from understudy.data.scenes.weather import Weather

TOLD_APART = (layout.Car, layout.Person)  # each is an instance: of trees and poles nobody could say where one ends


def paint(canvas: Canvas, street: layout.Street, weather: Weather, rng: np.random.Generator) -> None:
    """Fill an empty canvas."""
    phase = float(rng.uniform(0, 64))
    shadows = Shadows(street, weather)
    _sky(canvas, weather, phase)
    _far_end(canvas, street, weather, phase)
    _ground(canvas, street, weather, shadows, phase)
    things = list(street.things)
    for side in (street.left, street.right):
        for lot in reversed(side.lots):
            if isinstance(lot, layout.Building):
                _building(canvas, side, lot, weather, shadows)
            else:
                _garden(canvas, side, lot, things, weather, shadows)
    for number, thing in enumerate(things, start=1):
        canvas.painting = number if isinstance(thing, TOLD_APART) else 0
        _thing(canvas, thing, weather, shadows)
    if weather.wet:
        _mirror_in_road(canvas, weather)


def _thing(canvas: Canvas, thing: layout.Thing, weather: Weather, shadows: Shadows) -> None:
    match thing:
        case layout.Tree():
            paint_tree(canvas, thing, weather)
        case layout.Car():
            paint_car(canvas, thing, weather, shadows)
        case layout.Person():
            paint_person(canvas, thing, weather, shadows)
        case layout.Lamp():
            paint_lamp(canvas, thing, weather)
        case layout.Sign():
            paint_sign(canvas, thing, weather)


def _sky(canvas: Canvas, weather: Weather, phase: float) -> None:
    """Haze at the horizon, deeper colour above, clouds that flatten with distance, a glow towards the sun."""
    rows = slice(0, int(np.searchsorted(canvas.down, 0.02)))
    up = np.maximum(-canvas.down[rows], 0)[:, None]  # [h, 1]
    right = canvas.right[None, :]  # [1, W]
    mix = (1 - np.exp(-up * 3.4))[..., None]  # [h, 1, 1]
    light = weather.haze * (1 - mix) + weather.zenith * mix  # [h, 1, 3]
    distance = 1 / (up + 0.12)
    cloud = noise(right * distance, distance + np.zeros_like(right), 9, phase)
    cover = np.clip((cloud - (0.78 - 0.38 * weather.clouds)) * 4, 0, 1)[..., None] * min(weather.clouds * 2, 1) * 0.75
    light = light * (1 - cover) + cover * (weather.ambient * 0.7 + weather.sun * 0.35 + 0.05)
    # The sun is behind the camera; its side of the sky is still brighter.
    light *= (1 - 0.16 * np.clip(right, -1, 1) * float(weather.sun.max() > 0.3))[..., None]
    canvas.light[rows] = light
    canvas.label[rows] = Label.SKY


def _far_end(canvas: Canvas, street: layout.Street, weather: Weather, phase: float) -> None:
    """What closes the view: a row of houses across the street, or trees on the horizon."""
    z = street.end
    patch = canvas.face(z, (-3 * z, 3 * z), (0, 26))
    if patch is None:
        return
    facing = max(float(-weather.sun_direction[2]), 0)
    if street.closed:
        block = np.floor(patch.along / 11 + phase)
        top = 5.5 + (np.abs(np.sin(block * 7.13)) * 10) % 1 * (9 if street.district.floors[1] > 3 else 4)
        walls = np.array(street.district.walls, np.float32)
        albedo = walls[np.abs(block).astype(int) % len(walls)]
        in_bay, in_floor = patch.along / 2.6 % 1, patch.up / 3.1 % 1
        window = (np.abs(in_bay - 0.5) < 0.22) & (np.abs(in_floor - 0.5) < 0.27)
        albedo = np.where(window[..., None], 0.05, albedo)
        light = albedo * (weather.ambient * 0.8 + weather.sun * facing)
        canvas.paint(patch, light, Label.BUILDING, patch.up < top)
    else:
        ridge = 3 + 5 * noise(patch.along, np.zeros_like(patch.along), 1.5, phase)
        tone = 0.5 + noise(patch.along, patch.up, 10, phase)
        light = tone[..., None] * leaves(-0.2) * (weather.ambient + weather.sun * facing * 0.8)
        canvas.paint(patch, light, Label.TREE, patch.up < ridge)


def _ground(canvas: Canvas, street: layout.Street, weather: Weather, shadows: Shadows, phase: float) -> None:
    """Road, markings, kerbs, verges, pavements and lawns, with the shadows that fall on them."""
    rows, x, z = canvas.ground()
    left, right = street.left, street.right
    road = (x > left.kerb) & (x < right.kerb)
    beyond = np.maximum(left.kerb - x, x - right.kerb)  # metres from the kerb outwards
    verge = np.where(x < street.centre, left.verge, right.verge)
    lawn = (x < left.x) | (x > right.x) | ((beyond > 0.15) & (beyond < verge)) | (z > street.end)
    albedo = np.where(
        road[..., None],
        asphalt(x, z, street.lane, street.centre, phase),
        np.where(lawn[..., None], grass(x, z, phase), slabs(x, z, phase)),
    )
    label = np.where(road, Label.ROAD, np.where(lawn, Label.GRASS, Label.PAVEMENT)).astype(np.uint8)
    kerb = (beyond > 0) & (beyond < 0.15)
    albedo[kerb] = 0.36
    gutter = (beyond <= 0) & (beyond > -0.3)
    albedo[gutter] *= 0.7
    marking = _markings(street, x, z)
    worn = 0.55 + 0.45 * noise(x, z, 14, phase + 9)
    albedo = np.where(marking[..., None], (0.62 * worn)[..., None], albedo)
    label[marking & (z < street.end)] = Label.MARKING
    label[(z > street.end)] = Label.GRASS
    lit = shadows.on_ground(x, z)[..., None]  # [h, W, 1]
    canvas.light[rows] = (
        albedo
        * (weather.ambient * shadows.openness(x)[..., None] + weather.sun * weather.sun_direction[1] * lit)
        * (1 - 0.22 * weather.wet)
    )
    canvas.label[rows] = label
    canvas.depth[rows] = z


def _markings(street: layout.Street, x: Array, z: Array) -> np.ndarray:
    dash, start = street.dash
    marking = (np.abs(x - street.centre) < 0.085) & ((z + start) % (2.2 * dash) < dash)
    if street.edge_lines:
        marking |= np.abs(np.abs(x - street.centre) - street.lane + 0.1) < 0.06
    if street.crossing is not None:
        inside = (x > street.left.kerb + 0.3) & (x < street.right.kerb - 0.3)
        near = (z > street.crossing) & (z < street.crossing + 3.2)
        marking = np.where(near & inside, (x - street.centre) % 1.1 < 0.55, marking)
        marking |= inside & (np.abs(z - street.crossing + 1.3) < 0.17) & (x > street.centre)
    return marking & (z < street.end)


def _building(canvas: Canvas, side: layout.Side, house: layout.Building, weather: Weather, shadows: Shadows) -> None:
    """The roof, the end wall that faces the camera, and the front along the street."""
    outward = -1 if side.x < 0 else 1
    sun = weather.sun_direction
    depth = (max(house.near, 0.6), house.far)
    if depth[0] >= depth[1]:
        return
    if house.roof and (
        patch := canvas.wall(side.x + outward * 1.6, depth, (house.height - 0.5, house.height + house.roof))
    ):
        tile = 0.7 + 0.5 * noise(patch.along, patch.up, 20, house.phase)
        slope = max(float(-outward * sun[0] + sun[1]) / 1.4, 0)
        roof = rgb(0.13, 0.065, 0.045) if house.brick or house.wall[0] > 0.5 else rgb(0.09, 0.09, 0.10)
        canvas.paint(
            patch, tile[..., None] * roof * (weather.ambient + weather.sun * slope), Label.BUILDING, patch.inside
        )
    if house.near > 0.6:
        reach = sorted((side.x, side.x + outward * 9))
        if patch := canvas.face(house.near, (reach[0], reach[1]), (0, house.height)):
            tone = 0.8 + 0.3 * noise(patch.along, patch.up, 9, house.phase)
            facing = max(float(-sun[2]), 0)
            plaster = tone[..., None] * rgb(*house.wall) * 0.85
            canvas.paint(patch, plaster * (weather.ambient * 0.7 + weather.sun * facing), Label.BUILDING, patch.inside)
    if patch := canvas.wall(side.x, depth, (0, house.height)):
        albedo, window, chance = facade(house, patch.along - house.near, patch.up)
        lit = shadows.on_wall(side.x, patch.up, patch.along)
        open_sky = 0.62 + 0.38 * np.clip(patch.up / 9, 0, 1)
        light = albedo * (weather.ambient * open_sky[..., None] + weather.sun * lit[..., None])
        # Glass mirrors the sky over the houses across the street, more so in the upper floors.
        mirrored = np.clip(patch.up / 12, 0.05, 0.8)[..., None] * (weather.zenith * 0.35 + weather.haze * 0.25)
        lamp = ((chance < 0.45 * weather.lamps) * 0.9)[..., None] * rgb(1.0, 0.66, 0.30)
        light += window[..., None] * (mirrored + lamp)
        label = np.where(window, Label.WINDOW, Label.BUILDING).astype(np.uint8)
        canvas.paint(patch, light, label, patch.inside)


def _garden(
    canvas: Canvas,
    side: layout.Side,
    lot: layout.Garden,
    things: list[layout.Thing],
    weather: Weather,
    shadows: Shadows,
) -> None:
    """A gap between houses: its trees, then the fence before them, so that nearer houses hide both."""
    for thing in [t for t in things if isinstance(t, layout.Tree) and abs(t.x) > abs(side.x) and t.x * side.x > 0
                  and max(lot.near, 3.0) <= t.z <= max(lot.far, 3.0)]:  # fmt: skip
        paint_tree(canvas, thing, weather)
        things.remove(thing)
    depth = (max(lot.near, 0.6), lot.far)
    if not lot.fence or depth[0] >= depth[1]:
        return
    if patch := canvas.wall(side.x, depth, (0, lot.fence)):
        board = patch.along * (5 if lot.wooden else 3)
        gap = board - np.floor(board)
        tone = 0.75 + 0.5 * noise(np.floor(board), patch.up, 31, lot.near)
        colour = rgb(0.20, 0.12, 0.07) if lot.wooden else rgb(0.05, 0.06, 0.06)
        lit = shadows.on_wall(side.x, patch.up, patch.along)[..., None]
        light = tone[..., None] * colour * (weather.ambient * 0.8 + weather.sun * lit)
        if lot.wooden:
            light = np.where((gap < 0.12)[..., None], light * 0.4, light)
        else:
            # Railings: most of what is seen between them is the garden.
            behind = canvas.light[patch.rows, patch.columns]
            rail = (gap < 0.38) | (patch.up > lot.fence - 0.12)
            light = np.where(rail[..., None], light, behind * 0.9)
        canvas.paint(patch, light, Label.FENCE, patch.inside)


def _mirror_in_road(canvas: Canvas, weather: Weather) -> None:
    """A wet road shows what stands above the horizon upside down, more of it at a flat angle."""
    horizon = int(canvas.camera.horizon)
    height = canvas.light.shape[0]
    rows = np.arange(horizon, height)
    source = np.clip(2 * horizon - rows, 0, height - 1)
    # Rough asphalt smears the image along the line of sight.
    mirrored = sum(canvas.light[np.clip(source - shift, 0, height - 1)] for shift in (0, 3, 6, 10, 15)) / 5
    flat = 0.55 * np.exp(-canvas.down[rows] * 1.6)[:, None, None] * weather.wet
    wet = np.isin(canvas.label[rows], (Label.ROAD, Label.MARKING, Label.PAVEMENT))[..., None]
    canvas.light[rows] = np.where(wet, canvas.light[rows] * (1 - flat) + mirrored * flat, canvas.light[rows])
