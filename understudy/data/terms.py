"""Words that data, parameters and architectures share. Imports nothing, so that whoever needs a word gets only that."""

from typing import Literal

SPLITS = ("train", "val", "test")
Encoding = Literal["onehot", "rgb"]  # how an input enters a network; photos only as rgb
# What is translated into photos: label maps, each of a photo that is there; photos, each with its translation; photos
# of one domain into those of another, without pairs.
Kind = Literal["labels", "photos", "unpaired"]
KINDS: tuple[Kind, ...] = ("labels", "photos", "unpaired")
INPUT_TITLES = {"labels": "label map", "photos": "input", "unpaired": "input"}  # over a column of pictures
