"""Split from a folder or an archive, in any of the known layouts (docs/add-a-dataset.md)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.container import Unreadable, open_container
from understudy.data.layouts.detect import detect
from understudy.data.layouts.tree import Picture
from understudy.data.pictures import BadImage, half, read_label, read_lossy_label, read_photo
from understudy.data.source import BadPair, Pair


class PairedFiles:
    """A source that reads files in place (`understudy.data.source.Source`)."""

    workers = 1

    def __init__(self, path: Path) -> None:
        """path: a folder, or a zip or tar archive. Raises UserError when no pairs can be told in it."""
        self._files = open_container(path)
        layout, tree = detect(path, self._files)
        found = layout.pairs(tree)
        self._root, self._pairs = tree.root, found.pairs
        self.name = path.name.split(".")[0] or path.name
        self.layout, self.classes = found.layout, found.classes
        self.problems = [*self._files.problems, *found.problems]

    def names(self, split: str) -> tuple[str, ...]:
        """The names of pairs that have both files, sorted."""
        return tuple(self._pairs[split])

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Pair | BadPair]:
        """The pairs of a split, in the order of their names."""
        for name in self.names(split):
            try:
                yield self.read(split, name, size)
            except BadPair as bad:
                yield bad

    def read(self, split: str, name: str, size: tuple[int, int]) -> Pair:
        """Decode one pair and bring it to `size` (height, width), its aspect with it. Raises BadPair for both files."""
        photo_file, label_file = self._pairs[split][name]
        problems = []
        try:
            photo, photo_mode = self._photo(photo_file)
        except (Unreadable, BadImage) as error:
            problems.append(f"{photo_file.path}: {error}")
        try:
            label, label_mode = self._label(label_file)
        except (Unreadable, BadImage) as error:
            problems.append(f"{label_file.path}: {error}")
        if problems:
            raise BadPair(*dict.fromkeys(problems))  # both halves of one file have one reason
        height, width = label.shape
        if photo.size != (width, height):
            found = "{} x {}".format(*photo.size)
            raise BadPair(
                f"{label_file.path}: is {width} x {height} pixels and its photo {found} (width x height, upright)"
            )
        target = (size[1], size[0])
        # Lanczos weighs every source pixel, so that nothing aliases; a class index cannot be averaged.
        resized = photo.resize(target, Image.Resampling.LANCZOS) if photo.size != target else photo
        nearest = Image.fromarray(label).resize(target, Image.Resampling.NEAREST)
        return Pair(
            photo_file.path.removeprefix(self._root),
            np.asarray(resized),
            np.asarray(nearest),
            (height, width),
            photo_mode,
            label_mode,
        )

    def _photo(self, picture: Picture) -> tuple[Image.Image, str]:
        """The photo (RGB) and its mode. Raises Unreadable, BadImage."""
        photo, mode = read_photo(self._files.read(picture.path))
        return (half(photo, picture.half) if picture.half else photo), mode

    def _label(self, picture: Picture) -> tuple[NDArray[np.uint8], str]:
        """Class indices uint8 [H, W], and the mode of the file. Raises Unreadable, BadImage."""
        content = self._files.read(picture.path)
        if picture.lossy:
            return read_lossy_label(content, self.classes, picture.half)
        return read_label(content, self.classes)
