"""Pairs from a folder or an archive: SPLIT/{photo,label}/NAME.EXT and classes.json (docs/add-a-dataset.md)."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from understudy.data.container import Unreadable, open_container
from understudy.data.pictures import BadImage, read_label, read_photo
from understudy.data.source import BadPair, Classes, Pair
from understudy.data.terms import SPLITS
from understudy.errors import UserError

CLASSES = "classes.json"
MAX_CLASSES = 256
UNKNOWN_LICENCE = "unknown"


class PairedFiles:
    """A source that reads files in place (`understudy.data.source.Source`)."""

    workers = 1

    def __init__(self, path: Path) -> None:
        """path: a folder, or a zip or tar archive. Raises UserError when it or its classes.json cannot be used."""
        self._files = open_container(path)
        self._root = root = _root(path, self._files.paths)
        self.name = path.name.split(".")[0] or path.name
        try:
            content = self._files.read(root + CLASSES)
        except Unreadable as error:
            raise UserError(f"prepare.source: {path}: {root}{CLASSES}: {error}") from error
        self.classes = parse_classes(content, f"{path}: {root}{CLASSES}")
        self.problems = list(self._files.problems)
        self._pairs: dict[str, dict[str, tuple[str, str]]] = {}
        for split in SPLITS:
            photos, labels = (self._listed(f"{root}{split}/{kind}/") for kind in ("photo", "label"))
            self.problems += [f"{photos[name]}: has no label map" for name in sorted(set(photos) - set(labels))]
            self.problems += [f"{labels[name]}: has no photo" for name in sorted(set(labels) - set(photos))]
            both = sorted(set(photos) & set(labels))
            self._pairs[split] = {name: (photos[name], labels[name]) for name in both}
            if not photos and not labels:
                self.problems.append(
                    f"{root}{split}/photo/, {root}{split}/label/: no file there; each split needs pairs"
                )

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
        photo_path, label_path = self._pairs[split][name]
        problems = []
        try:
            photo, photo_mode = read_photo(self._files.read(photo_path))
        except (Unreadable, BadImage) as error:
            problems.append(f"{photo_path}: {error}")
        try:
            label, label_mode = read_label(self._files.read(label_path), self.classes)
        except (Unreadable, BadImage) as error:
            problems.append(f"{label_path}: {error}")
        if problems:
            raise BadPair(*problems)
        height, width = label.shape
        if photo.size != (width, height):
            found = "{} x {}".format(*photo.size)
            raise BadPair(f"{label_path}: is {width} x {height} pixels and its photo {found} (width x height, upright)")
        target = (size[1], size[0])
        # Lanczos weighs every source pixel, so that nothing aliases; a class index cannot be averaged.
        resized = photo.resize(target, Image.Resampling.LANCZOS) if photo.size != target else photo
        nearest = Image.fromarray(label).resize(target, Image.Resampling.NEAREST)
        return Pair(
            photo_path.removeprefix(self._root),
            np.asarray(resized),
            np.asarray(nearest),
            (height, width),
            photo_mode,
            label_mode,
        )

    def _listed(self, folder: str) -> dict[str, str]:
        """The files of one folder by the name of their pair; what cannot be one is added to the problems."""
        found: dict[str, str] = {}
        for path in self._files.paths:
            if not path.startswith(folder) or _is_litter(path):
                continue
            if "/" in path[len(folder) :]:
                self.problems.append(f"{path}: lies in a folder below {folder}; put the files directly there")
                continue
            # macOS spells é with two code points where others use one: the same name to whoever gave it.
            name = unicodedata.normalize("NFC", PurePosixPath(path).stem)
            if not name.isprintable():
                self.problems.append(f"{path!r}: has a control character in its name")
            elif name in found:
                self.problems.append(f"{path}: has the same name as {found[name]}")
            else:
                found[name] = path
        return found


def _root(path: Path, paths: list[str]) -> str:
    """The prefix under which the set lies: nothing, or the one folder that everything was packed in."""
    holders = [
        p.removesuffix(CLASSES) for p in paths if p == CLASSES or (p.endswith("/" + CLASSES) and p.count("/") == 1)
    ]
    holders = [holder for holder in holders if not _is_litter(holder)]
    if "" in holders:
        return ""
    if len(holders) != 1:
        found = "none" if not holders else " and ".join(f"{holder}{CLASSES}" for holder in holders)
        raise UserError(
            f"prepare.source: {path}: expected one {CLASSES} at its top or in its one folder, found {found}; "
            "docs/add-a-dataset.md shows the layout"
        )
    return holders[0]


def _is_litter(path: str) -> bool:
    """What operating systems leave in folders and archives."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in path.split("/"))


def parse_classes(content: bytes, where: str) -> Classes:
    """classes.json: {"names": [...], "palette": [[r, g, b], ...], "ignore": id or null, "licence": text (optional)}.

    Raises UserError, prefixed by `where`, that names the key.
    """
    try:
        value: Any = json.loads(content)
    except ValueError as error:
        raise UserError(f"prepare.source: {where}: not JSON: {error}") from None

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise UserError(f"prepare.source: {where}: {message}")

    require(isinstance(value, dict), "expected a JSON object")
    unknown = sorted(set(value) - {"names", "palette", "ignore", "licence"})
    require(not unknown, f"unknown key {', '.join(unknown)}; known keys: names, palette, ignore, licence")
    names, palette = value.get("names"), value.get("palette")
    require(isinstance(names, list) and all(isinstance(name, str) and name for name in names), "names: a list of texts")
    require(2 <= len(names) <= MAX_CLASSES, f"names: 2 to {MAX_CLASSES} classes, found {len(names)}")
    require(len(set(names)) == len(names), "names: two classes have the same name")
    require(
        isinstance(palette, list) and all(_is_colour(colour) for colour in palette),
        "palette: a list of [red, green, blue], each 0 to 255",
    )
    require(len(palette) == len(names), f"palette: {len(palette)} colours for {len(names)} classes")
    colours = tuple((r, g, b) for r, g, b in palette)
    require(len(set(colours)) == len(colours), "palette: two classes have the same colour")
    ignore, licence = value.get("ignore"), value.get("licence", UNKNOWN_LICENCE)
    is_class = isinstance(ignore, int) and not isinstance(ignore, bool) and 0 <= ignore < len(names)
    require(ignore is None or is_class, f"ignore: a class id from 0 to {len(names) - 1}, or null; found {ignore!r}")
    require(isinstance(licence, str) and bool(licence), "licence: a text")
    return Classes(tuple(names), colours, ignore, licence)


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)
