"""Images from a folder or an archive, in any of the known layouts (docs/add-a-dataset.md)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.container import Chosen, Unreadable, open_container
from understudy.data.edges import with_edges
from understudy.data.layouts.detect import detect
from understudy.data.layouts.tree import ImageFile
from understudy.data.pictures import BadImage, half, read_instances, read_label, read_lossy_label, read_photo
from understudy.data.source import BadItem, Example, Item, Picture, Wanted
from understudy.data.terms import Side
from understudy.errors import UserError


class FileSet:
    """A source that reads files in place (`understudy.data.source.Source`)."""

    workers = 1

    def __init__(
        self, path: Path, wanted: Wanted, name: str = "", folders: tuple[str, ...] = (), licence: str = ""
    ) -> None:
        """path: a folder, or a zip or tar archive. name, folders, licence: where something else than the path says the
        first, only some folders are meant, and the set does not say the last.

        Raises UserError when what is wanted cannot be told in it."""
        self._files = open_container(path)
        if folders:
            self._files = Chosen(self._files, path, folders)
        layout, tree = detect(path, self._files)
        if wanted.instances and not layout.instances:
            raise UserError(
                f"prepare.instances: true, and the layout of {tree.source} ({layout.shape}) has no place for instance "
                "maps; set it to false, or bring the set into a layout that has (docs/add-a-dataset.md)"
            )
        found = layout.list(tree, wanted)
        self._root, self._items = tree.root, found.items
        self.name = name or path.name.split(".")[0] or path.name
        self.kind, self.instances = wanted.kind, wanted.instances
        self.layout, self.classes = found.layout, found.classes
        if licence:
            self.classes = replace(self.classes, licence=licence)
        self.problems = [*self._files.problems, *found.problems]

    def items(self, split: str) -> tuple[Item, ...]:
        """What has all of its files, sorted by name; without pairs the inputs, then the photos."""
        return tuple(self._items[split])

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Example | BadItem]:
        """The items of a split, in their order."""
        for item in self.items(split):
            try:
                yield self.read(split, item, size)
            except BadItem as bad:
                yield bad

    def read(self, split: str, item: Item, size: tuple[int, int]) -> Example:
        """Decode one item and bring it to `size` (height, width), its aspect with it. Raises BadItem for all files."""
        files = self._items[split][item]
        found: dict[Side, tuple[Image.Image, str]] = {}
        problems = []
        for side, file in files.items():
            try:
                found[side] = self._label(file) if side == "input" and self.kind == "labels" else self._photo(file)
            except (Unreadable, BadImage) as error:
                problems.append(f"{file.path}: {error}")
        ids = None
        if instances := next((file.instances for file in files.values() if file.instances), None):
            try:
                ids = Image.fromarray(read_instances(self._files.read(instances)))
            except (Unreadable, BadImage) as error:
                problems.append(f"{instances}: {error}")
        if problems:
            raise BadItem(*dict.fromkeys(problems))  # both halves of one file have one reason
        sizes = {side: image.size for side, (image, _) in found.items()}
        if len(set(sizes.values())) > 1:
            width, height = sizes["input"]
            raise BadItem(
                f"{files['input'].path}: is {width} x {height} pixels and its photo "
                "{} x {} (width x height, upright)".format(*sizes["photo"])
            )
        pixels = {side: _resized(image, size) for side, (image, _) in found.items()}
        if ids is not None:
            if ids.size != found["input"][0].size:
                sides = (*ids.size, *found["input"][0].size)
                raise BadItem("{}: is {} x {} pixels and its label map {} x {}".format(instances, *sides))
            pixels["input"] = with_edges(pixels["input"], _resized(ids, size))
        return {
            side: Picture(files[side].path.removeprefix(self._root), pixels[side], image.size[::-1], mode)
            for side, (image, mode) in found.items()
        }

    def _photo(self, file: ImageFile) -> tuple[Image.Image, str]:
        """The photo (RGB) and its mode. Raises Unreadable, BadImage."""
        photo, mode = read_photo(self._files.read(file.path))
        return (half(photo, file.half) if file.half else photo), mode

    def _label(self, file: ImageFile) -> tuple[Image.Image, str]:
        """Class indices (L), and the mode of the file. Raises Unreadable, BadImage."""
        content = self._files.read(file.path)
        read = read_lossy_label(content, self.classes, file.half) if file.lossy else read_label(content, self.classes)
        return Image.fromarray(read[0]), read[1]


def _resized(image: Image.Image, size: tuple[int, int]) -> NDArray:
    """An RGB photo, class indices (L) or instance ids (I) at `size`: uint8 [H, W, 3] or [H, W], or int32 [H, W].

    Photos with the bicubic filter, as in the papers; Pillow's weighs every source pixel, so that nothing aliases. A
    class index cannot be averaged, nor can an id.
    """
    target = (size[1], size[0])
    if image.size == target:
        return np.asarray(image)
    return np.asarray(
        image.resize(target, Image.Resampling.BICUBIC if image.mode == "RGB" else Image.Resampling.NEAREST)
    )
