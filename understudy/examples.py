"""Which images of a split are shown, and the columns that translations stand beside: inputs and real photos."""

from torch import Tensor

from understudy.data.prepared import DatasetInfo, Split, show_inputs
from understudy.data.terms import INPUT_TITLES, PHOTO_TITLES
from understudy.grid import spread


def examples(split: Split) -> Tensor:
    """Indices int64 [n] of the inputs that are shown."""
    return spread(len(split))


def example_columns(split: Split, shown: Tensor, info: DatasetInfo) -> dict[str, Tensor]:
    """Inputs and photos as pictures uint8 [n, 3, H, W], by title.

    shown: of `examples`. Where inputs have no photo of their own, photos from the first to the last stand beside them.
    """
    photos = shown * len(split.photos) // len(split.inputs)  # of pairs: the same indices
    return {
        INPUT_TITLES[info.kind]: show_inputs(split.inputs[shown], info),
        PHOTO_TITLES[info.kind]: split.photos[photos],
    }
