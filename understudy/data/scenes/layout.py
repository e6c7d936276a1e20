"""What stands in a street: buildings, trees, cars and people drawn at random, in metres.

Much of a photo follows from its label map, by rules that a network has to find: the district (told by heights, window
spacing and gaps) sets colours and materials; the sun stands on the side of the oncoming lane (told by the centre
line); rain opens umbrellas; fog empties the street. What is left is the chance in a real street: a car's colour.
"""

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class District:
    """A kind of neighbourhood. Ranges are (low, high); `walls` are linear albedos that buildings are painted in."""

    name: str
    length: tuple[float, float]
    floors: tuple[int, int]
    floor_height: float
    window: tuple[float, float]  # width and height, in fractions of a bay and of a floor
    bay: tuple[float, float]
    gap: float  # probability that a lot is a garden
    roof: bool
    brick: float  # depth of the brick courses' contrast
    walls: tuple[Rgb, ...]
    trees: float  # how often a side has a row of street trees


DISTRICTS = (
    District("terrace", (5.0, 7.5), (2, 3), 2.9, (0.42, 0.55), (2.2, 2.8), 0.06, True, 0.35,
             ((0.30, 0.11, 0.07), (0.24, 0.10, 0.07), (0.36, 0.17, 0.10)), 0.33),
    District("old town", (8.0, 14.0), (4, 5), 3.4, (0.40, 0.62), (2.2, 2.9), 0.04, True, 0.0,
             ((0.62, 0.48, 0.27), (0.60, 0.53, 0.42), (0.55, 0.33, 0.22), (0.56, 0.56, 0.50)), 0.16),
    District("offices", (14.0, 24.0), (6, 11), 3.6, (0.80, 0.66), (1.6, 2.4), 0.08, False, 0.0,
             ((0.30, 0.33, 0.37), (0.20, 0.22, 0.25), (0.42, 0.42, 0.41)), 0.33),
    District("suburb", (8.0, 12.0), (1, 2), 3.0, (0.45, 0.45), (2.8, 3.8), 0.45, True, 0.1,
             ((0.66, 0.63, 0.57), (0.58, 0.50, 0.38), (0.42, 0.30, 0.22)), 0.72),
)  # fmt: skip


@dataclass(frozen=True)
class Building:
    near: float
    far: float
    height: float
    floor_height: float
    bay: float
    window: tuple[float, float]
    wall: Rgb
    brick: float
    roof: float  # height of the roof above the eaves; 0 for a flat one
    shop: Rgb | None
    phase: float  # offset into the noise, so that no two facades are dirty alike


@dataclass(frozen=True)
class Garden:
    near: float
    far: float
    fence: float  # height of the fence in front; 0 for none
    wooden: bool


@dataclass(frozen=True)
class Side:
    """One side of the street. x: of the facades, negative on the left. kerb: x where the road ends."""

    x: float
    kerb: float
    verge: float  # width of the grass between kerb and pavement
    lots: tuple[Building | Garden, ...]  # from near to far


@dataclass(frozen=True)
class Tree:
    x: float
    z: float
    height: float
    radius: float
    hue: float  # -1 dark green .. 1 yellow
    phase: float


@dataclass(frozen=True)
class Car:
    x: float
    z: float
    width: float
    length: float
    height: float
    paint: Rgb
    oncoming: bool


@dataclass(frozen=True)
class Person:
    x: float
    z: float
    height: float
    coat: Rgb
    trousers: Rgb
    skin: Rgb
    stride: float
    umbrella: bool


@dataclass(frozen=True)
class Lamp:
    x: float
    z: float
    height: float


@dataclass(frozen=True)
class Sign:
    x: float
    z: float
    shape: str  # "disc", "triangle" or "board"
    height: float


Thing = Tree | Car | Person | Lamp | Sign


@dataclass(frozen=True)
class Street:
    """Everything in a scene. end: z where the street ends. closed: by houses. centre: x of the centre line."""

    district: District
    left: Side
    right: Side
    things: tuple[Thing, ...]
    end: float
    closed: bool
    centre: float
    lane: float
    dash: tuple[float, float]  # length and phase of the centre line's dashes, in metres
    crossing: float | None  # z of a zebra crossing
    edge_lines: bool


CAR_PAINTS: tuple[tuple[Rgb, float], ...] = (
    ((0.62, 0.62, 0.62), 0.22), ((0.30, 0.31, 0.33), 0.20), ((0.03, 0.03, 0.035), 0.18), ((0.75, 0.75, 0.73), 0.14),
    ((0.42, 0.03, 0.03), 0.12), ((0.04, 0.10, 0.32), 0.10), ((0.05, 0.20, 0.10), 0.02), ((0.65, 0.42, 0.05), 0.02),
)  # fmt: skip
COATS: tuple[Rgb, ...] = (
    (0.04, 0.04, 0.05), (0.08, 0.10, 0.20), (0.45, 0.06, 0.05), (0.40, 0.32, 0.20), (0.55, 0.55, 0.55),
    (0.10, 0.25, 0.16),
)  # fmt: skip
SKINS: tuple[Rgb, ...] = ((0.60, 0.40, 0.30), (0.45, 0.28, 0.19), (0.22, 0.12, 0.08))
FARTHEST = 130.0


def sample(rng: np.random.Generator, people: float, traffic: float, umbrellas: bool) -> Street:
    """A street. people, traffic: how busy it is, as factors of the usual number."""
    district = DISTRICTS[rng.choice(len(DISTRICTS), p=(0.28, 0.27, 0.2, 0.25))]
    lane = rng.uniform(2.9, 3.6)
    # Traffic keeps to the right: the camera drives in its lane, the centre line is to its left.
    centre = -lane * rng.uniform(0.3, 0.62)
    parking = rng.random(2) < 0.6
    end = rng.uniform(45, FARTHEST)
    pavement = rng.uniform(2.0, 3.6, 2).tolist()
    verge = np.where(
        rng.random(2) < (0.7 if district.name == "suburb" else 0.08), rng.uniform(1.0, 2.0, 2), 0.0
    ).tolist()
    kerbs = (centre + np.array((-1, 1)) * (lane + 2.1 * parking)).tolist()
    sides = tuple(
        Side(kerbs[i] + sign * (verge[i] + pavement[i]), kerbs[i], verge[i], _lots(rng, district, end))
        for i, sign in enumerate((-1, 1))
    )
    things: list[Thing] = []
    for i, sign in enumerate((-1, 1)):
        things += _roadside(rng, district, sides[i], sign, end, people, umbrellas)
        if parking[i]:
            things += _parked(rng, kerbs[i] - sign * 1.05, sign, end, traffic)
    things += _moving(rng, centre, lane, end, traffic)
    return Street(
        district, sides[0], sides[1], tuple(sorted(things, key=lambda thing: -thing.z)), end,
        bool(rng.random() < 0.5), centre, lane, (rng.uniform(2.0, 4.0), rng.uniform(0, 8)),
        rng.uniform(5, 16) if rng.random() < 0.22 else None, bool(rng.random() < 0.4),
    )  # fmt: skip


def _lots(rng: np.random.Generator, district: District, end: float) -> tuple[Building | Garden, ...]:
    lots: list[Building | Garden] = []
    near = rng.uniform(-6, 1)
    terrace = int(rng.integers(district.floors[0], district.floors[1] + 1))
    while near < end:
        far = near + rng.uniform(*district.length)
        if rng.random() < district.gap:
            fence = rng.uniform(1.0, 1.8) if rng.random() < 0.75 else 0.0
            lots.append(Garden(near, far, fence, bool(rng.random() < 0.5)))
        else:
            floors = terrace + int(rng.integers(-1, 2)) * (rng.random() < 0.6)
            height = max(floors, 1) * district.floor_height + rng.uniform(0.4, 1.0)
            tone = np.array(district.walls[rng.integers(len(district.walls))]) * rng.uniform(0.85, 1.15)
            shop = tuple(rng.uniform(0.03, 0.35, 3).tolist()) if rng.random() < (0.4 if floors > 2 else 0.1) else None
            roof = rng.uniform(1.5, 2.6) if district.roof else 0.0
            bay = (far - near) / max(1, round((far - near) / rng.uniform(*district.bay)))
            lots.append(Building(near, far, height, district.floor_height, bay, district.window, tuple(tone.tolist()),
                                 district.brick, roof, shop, rng.uniform(0, 64)))  # fmt: skip
        near = far
    return tuple(lots)


def _roadside(
    rng: np.random.Generator, district: District, side: Side, sign: int, end: float, people: float, umbrellas: bool
) -> list[Thing]:
    """Street trees, gardens' trees, lamps, signs and people of one side."""
    things: list[Thing] = []
    season = rng.normal(0, 0.35)
    row = side.kerb + sign * (side.verge / 2 if side.verge else 0.6)
    if rng.random() < district.trees:
        spacing = rng.uniform(7, 13)
        for z in np.arange(rng.uniform(4, 4 + spacing), min(end, 70), spacing).tolist():
            height = rng.uniform(4.5, 7.5)
            things.append(Tree(row, z, height, height * rng.uniform(0.26, 0.36), season + rng.normal(0, 0.2), z * 7))
    spacing = rng.uniform(16, 26)
    for z in np.arange(rng.uniform(3, spacing), min(end, 90), spacing).tolist():
        things.append(Lamp(side.kerb + sign * 0.4, z, 6.5))
    for _ in range(rng.poisson(0.8)):
        shape = ("disc", "triangle", "board")[rng.integers(3)]
        things.append(Sign(side.kerb + sign * 0.5, rng.uniform(5, 28), shape, rng.uniform(2.2, 2.8)))
    for _ in range(rng.poisson(2.0 * people)):
        # Uniform in the logarithm of depth: as many people in the foreground as far away, seen in pixels.
        z = float(np.exp(rng.uniform(np.log(4.0), np.log(25))))
        x = side.kerb + sign * 0.5 + rng.random() * (side.x - side.kerb - sign * 0.8)
        things.append(_person(rng, x, z, umbrellas))
    for lot in side.lots:
        if isinstance(lot, Garden):
            for _ in range(rng.integers(1, 3)):
                height = rng.uniform(3.5, 8)
                z = max(rng.uniform(lot.near, lot.far), 3.0)
                things.append(Tree(side.x + sign * rng.uniform(2, 6), z, height, height * rng.uniform(0.3, 0.42),
                                   season + rng.normal(0, 0.25), z * 5))  # fmt: skip
    return things


def _person(rng: np.random.Generator, x: float, z: float, umbrellas: bool) -> Person:
    coat, trousers = (COATS[i] for i in rng.integers(len(COATS), size=2))
    dark = (trousers[0] * 0.4, trousers[1] * 0.4, trousers[2] * 0.5)
    return Person(x, z, rng.uniform(1.5, 1.9), coat, dark, SKINS[rng.integers(3)], rng.uniform(0.05, 0.3),
                  umbrellas and bool(rng.random() < 0.8))  # fmt: skip


def _car(rng: np.random.Generator, x: float, z: float, oncoming: bool) -> Car:
    paints, chances = zip(*CAR_PAINTS, strict=True)
    paint = tuple((np.array(paints[rng.choice(len(paints), p=chances)]) * rng.uniform(0.8, 1.15)).tolist())
    van = rng.random() < 0.15
    return Car(x, z, rng.uniform(1.7, 1.85), rng.uniform(3.9, 4.6), 2.1 if van else rng.uniform(1.4, 1.6), paint,
               oncoming)  # fmt: skip


def _parked(rng: np.random.Generator, x: float, sign: int, end: float, traffic: float) -> list[Thing]:
    cars: list[Thing] = []
    z = rng.uniform(3.5, 12)
    while z < min(end - 6, 50):
        if rng.random() < 0.7 * traffic:
            cars.append(_car(rng, x + rng.normal(0, 0.06), z, sign < 0))
        z += rng.uniform(5.2, 7.0)
    return cars


def _moving(rng: np.random.Generator, centre: float, lane: float, end: float, traffic: float) -> list[Thing]:
    cars: list[Thing] = []
    for sign, nearest in ((-1, 6.0), (1, 8.0)):
        z = nearest + rng.exponential(18 / traffic)
        while z < min(end - 6, 60):
            cars.append(_car(rng, centre + sign * lane * rng.uniform(0.42, 0.55), z, sign < 0))
            z += 8 + rng.exponential(30 / traffic)
    return cars
