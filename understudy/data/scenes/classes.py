"""The classes of a drawn street and the colours that show them."""

from enum import IntEnum


class Label(IntEnum):
    """Class ids, as they stand in the label images."""

    SKY = 0
    BUILDING = 1
    WINDOW = 2
    ROAD = 3
    MARKING = 4
    PAVEMENT = 5
    GRASS = 6
    TREE = 7
    FENCE = 8
    CAR = 9
    PEDESTRIAN = 10
    POLE = 11
    SIGN = 12


NAMES = tuple(label.name.lower() for label in Label)
PALETTE = (
    (110, 170, 220), (120, 80, 70), (60, 80, 110), (105, 70, 120), (235, 230, 220), (205, 120, 190), (150, 200, 110),
    (60, 120, 50), (190, 150, 110), (30, 40, 190), (220, 40, 60), (160, 160, 160), (240, 200, 40),
)  # fmt: skip
