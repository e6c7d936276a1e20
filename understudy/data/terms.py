"""Words that data, parameters and architectures share. Imports nothing, so that whoever needs a word gets only that."""

from typing import Literal

SPLITS = ("train", "val", "test")
Encoding = Literal["onehot", "rgb"]  # how a label map enters a network
