"""Words that data, parameters and architectures share. Imports nothing, so that whoever needs a word gets only that."""

from typing import Literal

SPLITS = ("train", "val", "test")
Encoding = Literal["onehot", "rgb"]  # how an input enters a network; photos only as rgb
# What is translated into photos: label maps, each of a photo that is there; photos, each with its translation; photos
# of one domain into those of another, without pairs.
Kind = Literal["labels", "photos", "unpaired"]
KINDS: tuple[Kind, ...] = ("labels", "photos", "unpaired")
Side = Literal["input", "photo"]  # what is translated, and what it is translated into
SIDES: tuple[Side, ...] = ("input", "photo")
Direction = Literal["AtoB", "BtoA"]  # which of a set's two sides is the input, where they are called A and B
INPUT_TITLES = {"labels": "label map", "photos": "input", "unpaired": "input"}  # over a column of pictures
# Over the real photos beside them: of unpaired data they are not the inputs' own.
PHOTO_TITLES = {"labels": "real photo", "photos": "real photo", "unpaired": "a real photo"}
