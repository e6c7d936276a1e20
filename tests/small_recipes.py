"""The recipes that two CPU cores take from data to verdict in a quarter of an hour: one for each family."""

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
