"""The recipes that a CPU takes from data to verdict in minutes, 5 to 29 by their headers: one for each family."""

SMALL = (
    "street-scenes",
    "street-scenes-resnet",
    "street-scenes-unet",
    "street-scenes-gaugan",
    "street-scenes-photos",
    "camvid-64",
    "horse2zebra-small",
    "srpkd-horse2zebra-small",
)
