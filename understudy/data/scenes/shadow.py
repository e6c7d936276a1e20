"""Where the sun does not reach: shadows that houses, trees and cars cast on the ground and on the houses opposite."""

import numpy as np

from understudy.data.scenes.layout import Building, Car, Person, Street, Tree
from understudy.data.scenes.view import Array
from understudy.data.scenes.weather import Weather

STEP = 0.5  # metres between two entries of the height profile
NEAREST = -60.0


class Shadows:
    """How much sun reaches a point of one street, between 0 and 1."""

    def __init__(self, street: Street, weather: Weather) -> None:
        self.street = street
        self.sun = weather.sun_direction
        # The height of the houses on the sun's side (the left), by depth. Behind the camera they go on as they began.
        self.heights = np.zeros(int((street.end + 80 - NEAREST) / STEP), np.float32)
        for lot in street.left.lots:
            if isinstance(lot, Building):
                near = NEAREST if lot is street.left.lots[0] else lot.near
                self.heights[int((near - NEAREST) / STEP) : int((lot.far - NEAREST) / STEP)] = lot.height
        self.casters = [thing for thing in street.things if isinstance(thing, Tree | Car | Person) and thing.z < 40]

    def on_ground(self, x: Array, z: Array) -> Array:
        """Sun on the ground at (x, z) [h, w]."""
        lit = self._past_houses(x, np.zeros_like(z), z)
        for caster in self.casters:
            match caster:
                case Tree():
                    # A crown high above the ground casts its ellipse away from the sun.
                    centre, across, reach = caster.height - caster.radius, caster.radius, caster.radius * 1.1
                case Car():
                    centre, across, reach = 0.6, caster.width * 0.62, caster.length * 0.6
                case Person():
                    centre, across, reach = caster.height / 2, 0.3, 0.5
            drop = centre / self.sun[1]
            dx, dz = x - caster.x + self.sun[0] * drop, z - caster.z + self.sun[2] * drop
            if isinstance(caster, Car):
                dz = dz - caster.length / 2
            inside = (dx / across) ** 2 + (dz / reach) ** 2
            # Sun falls through leaves; it does not through a car.
            lit = lit * np.where(inside < 1, 0.45 if isinstance(caster, Tree) else 0.1, 1).astype(np.float32)
        return lit

    def on_wall(self, x: float, up: Array, z: Array) -> Array:
        """Sun on the wall at `x`, at heights `up` and depths `z` [h, w], times the cosine at which it arrives."""
        facing = -self.sun[0] if x > 0 else self.sun[0]
        if facing <= 0:
            return np.zeros_like(up)
        return self._past_houses(np.full_like(up, x), up, z) * facing

    def at(self, x: float, z: float) -> float:
        """Sun at breast height on something that stands at (x, z)."""
        point = (np.array([[value]], np.float32) for value in (x, 1.0, z))
        return float(self._past_houses(*point)[0, 0])

    def openness(self, x: Array) -> Array:
        """How much of the sky a point of the ground sees: less at the foot of the houses. [h, w], in [0, 1]."""
        edge = np.minimum(x - self.street.left.x, self.street.right.x - x)
        return np.clip(0.62 + 0.10 * edge, 0.62, 1).astype(np.float32)

    def _past_houses(self, x: Array, y: Array, z: Array) -> Array:
        """1 where the ray towards the sun clears the houses on its side, 0 where it does not, 0.2 m between."""
        across = np.maximum(x - self.street.left.x, 0) / max(-self.sun[0], 1e-3)
        index = ((z + across * self.sun[2] - NEAREST) / STEP).astype(np.int32)
        blocking = self.heights[np.clip(index, 0, len(self.heights) - 1)]
        return np.clip((y + across * self.sun[1] - blocking) / 0.4 + 0.5, 0, 1).astype(np.float32)
