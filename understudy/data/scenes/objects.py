"""What stands beside the road: trees, people, lamps and signs."""

import numpy as np

from understudy.data.scenes.classes import Label
from understudy.data.scenes.layout import Lamp, Person, Sign, Tree
from understudy.data.scenes.materials import leaves, noise, rgb
from understudy.data.scenes.shadow import Shadows
from understudy.data.scenes.view import Array, Canvas
from understudy.data.scenes.weather import Weather


def paint_tree(canvas: Canvas, tree: Tree, weather: Weather) -> None:
    """A trunk and a crown of leaves: ragged at its edge, bright towards the sun, dark in its depths."""
    crown = tree.height - tree.radius
    sun = weather.sun_direction
    if patch := canvas.face(tree.z, (tree.x - 0.17, tree.x + 0.17), (0, crown)):
        round_ = 1 - np.abs(patch.along - tree.x) / 0.25
        bark = (0.6 + 0.5 * noise(patch.along, patch.up, 40, tree.phase)) * round_
        canvas.paint(patch, bark[..., None] * rgb(0.11, 0.08, 0.055) * (weather.ambient * 0.7 + weather.sun * 0.3),
                     Label.TREE, patch.inside)  # fmt: skip
    reach = tree.radius * 1.25
    if patch := canvas.face(tree.z, (tree.x - reach, tree.x + reach), (crown - reach, crown + reach)):
        dx, dy = (patch.along - tree.x) / tree.radius, (patch.up - crown) / (tree.radius * 1.12)
        ragged = noise(patch.along, patch.up, 11, tree.phase)
        leaf = noise(patch.along, patch.up, 34, tree.phase + 1)
        inside = np.sqrt(dx * dx + dy * dy) + 0.75 * (ragged - 0.5) + 0.2 * (leaf - 0.5) < 0.95
        towards = np.clip(0.45 + 0.40 * dx * sun[0] * 1.6 + 0.38 * dy + 0.8 * (ragged - 0.5), 0.05, 1)
        tone = (0.35 + 1.25 * leaf)[..., None]
        light = tone * leaves(tree.hue) * (
            weather.ambient * (0.45 + 0.4 * np.clip(dy + 0.6, 0, 1))[..., None] + weather.sun * towards[..., None]
        )  # fmt: skip
        canvas.paint(patch, light, Label.TREE, inside)


def paint_person(canvas: Canvas, person: Person, weather: Weather, shadows: Shadows) -> None:
    """Legs, coat, arms, head with hair; lit from the left. An umbrella when it rains."""
    x, z, height = person.x, person.z, person.height
    lit = shadows.at(x, z)
    patch = canvas.face(z, (x - 0.6, x + 0.6), (0, height + 0.35))
    if patch is None:
        return
    dx, up = patch.along - x, patch.up / height
    legs = (np.abs(np.abs(dx) - person.stride * (0.5 - up) - 0.06) < 0.085) & (up < 0.5)
    taper = 0.15 + 0.09 * np.clip((up - 0.42) / 0.35, 0, 1)
    coat = (np.abs(dx) < taper) & (up >= 0.42) & (up < 0.83)
    head = np.hypot(dx, (up - 0.915) * height * 0.85) < 0.115
    hair = head & (up > 0.93)
    light = np.broadcast_to(rgb(*person.coat), (*up.shape, 3))
    light = np.where(legs[..., None], rgb(*person.trousers), light)
    light = np.where(head[..., None], rgb(*person.skin), light)
    light = np.where(hair[..., None], rgb(0.05, 0.035, 0.025), light)
    turned = np.clip(0.5 + dx * float(weather.sun_direction[0]) * 3.5, 0.08, 1)[..., None] * lit
    inside = legs | coat | head
    if person.umbrella:
        canopy = (np.hypot(dx / 0.58, (patch.up - height + 0.05) / 0.36) < 1) & (patch.up > height - 0.05)
        light = np.where(canopy[..., None], rgb(*person.coat) * (1.1 - 0.5 * np.abs(dx)[..., None]), light)
        inside = inside | canopy
    canvas.paint(patch, light * (weather.ambient * 0.8 + weather.sun * turned), Label.PEDESTRIAN, inside)


def paint_lamp(canvas: Canvas, lamp: Lamp, weather: Weather) -> None:
    """A steel mast with an arm over the road."""
    steel = rgb(0.10, 0.11, 0.115) * (weather.ambient * 0.8 + weather.sun * 0.4)
    arm = 1.1 if lamp.x < 0 else -1.1
    for across, up in (
        ((lamp.x - 0.075, lamp.x + 0.075), (0.0, lamp.height)),
        (tuple(sorted((lamp.x, lamp.x + arm))), (lamp.height - 0.12, lamp.height)),
    ):
        if patch := canvas.face(lamp.z, (across[0], across[1]), up):
            canvas.paint(patch, steel, Label.POLE, patch.inside)
    head = sorted((lamp.x + arm * 0.7, lamp.x + arm * 1.3))
    if patch := canvas.face(lamp.z, (head[0], head[1]), (lamp.height - 0.25, lamp.height - 0.02)):
        light = steel + rgb(1.0, 0.75, 0.42) * 3.0 * weather.lamps
        canvas.paint(patch, light, Label.POLE, patch.inside)


def paint_sign(canvas: Canvas, sign: Sign, weather: Weather) -> None:
    """A traffic sign on its post: red-rimmed disc or triangle, or a blue board."""
    light = weather.ambient * 0.85 + weather.sun * max(float(-weather.sun_direction[2]), 0)
    if patch := canvas.face(sign.z, (sign.x - 0.04, sign.x + 0.04), (0, sign.height)):
        canvas.paint(patch, rgb(0.2, 0.2, 0.2) * light, Label.POLE, patch.inside)
    if patch := canvas.face(sign.z, (sign.x - 0.42, sign.x + 0.42), (sign.height - 0.42, sign.height + 0.42)):
        dx, dy = patch.along - sign.x, patch.up - sign.height
        red, white = rgb(0.55, 0.02, 0.03), rgb(0.75, 0.75, 0.73)
        if sign.shape == "disc":
            inside, inner = np.hypot(dx, dy) < 0.36, np.hypot(dx, dy) < 0.25
            light = np.where(inner[..., None], white, red) * light
        elif sign.shape == "triangle":
            edge: Array = np.maximum(-dy - 0.3, np.abs(dx) * 1.7 + dy - 0.4)
            inside, inner = edge < 0, edge < -0.13
            light = np.where(inner[..., None], white, red) * light
        else:
            inside = (np.abs(dx) < 0.36) & (np.abs(dy) < 0.36)
            inner = (np.abs(dx) < 0.15) & (np.abs(dy) < 0.24)
            light = np.where(inner[..., None], white, rgb(0.02, 0.09, 0.40)) * light
        canvas.paint(patch, light, Label.SIGN, inside)
