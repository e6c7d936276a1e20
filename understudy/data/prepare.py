"""A source of images -> one archive per split, a manifest and a description: all of it, or nothing."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.archive import ArchiveWriter, write_archive
from understudy.data.drawn import DrawnSet
from understudy.data.ingest import FileSet
from understudy.data.manifest import Row, describe, write_manifest
from understudy.data.prepared import EDGES_DARKER, REFERENCE, SCHEMA
from understudy.data.published import is_published, open_published
from understudy.data.source import BadItem, Classes, Item, Source, Wanted
from understudy.data.terms import SIDES, SPLITS, Side
from understudy.errors import UserError
from understudy.files import atomic, write_json

SHEET_COLUMNS = 12
TIMED = 3  # items, to tell how long all of them will take
Progress = Callable[[int, int], None]


def open_source(path: Path, wanted: Wanted) -> Source:
    """The description (.yaml) of a drawn set or of a published one, a folder, or a zip or tar archive. Raises UserError
    when it is neither, or not what is wanted."""
    if not path.exists():
        raise UserError(f"prepare.source: {path}: no such file or folder")
    if path.suffix not in (".yaml", ".yml"):
        return FileSet(path, wanted)
    return open_published(path, wanted) if is_published(path) else DrawnSet.describe(path, wanted)


def counts(source: Source, side: Side) -> dict[str, int]:
    """Images of one side by split."""
    return {split: sum(side in item.sides for item in source.items(split)) for split in SPLITS}


def prepare(
    source: Source, size: tuple[int, int], load_size: tuple[int, int] | None, folder: Path, progress: Progress
) -> None:
    """Write {train,val,test}.zip, manifest.csv, dataset.json and samples.png into `folder`.

    size: height and width that images are brought to; load_size: those of the training split, None for the same. With
    it train.zip holds the photos at `size` as well, for metrics: no network is trained on them.
    progress: called with items done and items in all.
    Raises UserError that lists every bad file with its reason; then nothing has been written.
    """
    problems = list(source.problems)
    items = {split: source.items(split) for split in SPLITS}
    total = _readings(source, load_size)
    shown = {side: _spread(items["train"], side) for side in SIDES}
    done = 0
    rows: list[Row] = []
    sheet: dict[Side, list[NDArray[np.uint8]]] = {side: [] for side in SIDES}
    with ExitStack() as stack:
        for split in SPLITS:
            archive = stack.enter_context(write_archive(folder / f"{split}.zip"))
            stored = load_size or size if split == "train" else size
            for item, example in zip(items[split], source.load(split, stored), strict=True):
                if isinstance(example, BadItem):
                    problems += example.problems
                    continue
                for side, picture in example.items():
                    archive.add(f"{side}/{item.name}.png", _png(picture.pixels))
                    if split == "train" and item in shown[side]:
                        sheet[side].append(picture.pixels)
                rows += describe(item.name, split, example, source.classes.licence)
                done += 1
                progress(done, total)
            if split == "train" and load_size and not problems:
                for found in _reference(archive, source, size):
                    problems += found
                    done += 1
                    progress(done, total)
        if problems:
            count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
            raise UserError("\n  ".join([f"prepare.source: {source.name}: {count}, nothing was written", *problems]))
    write_manifest(folder / "manifest.csv", rows)
    with atomic(folder / "samples.png") as temporary:
        Image.fromarray(contact_sheet(sheet, source.classes)).save(temporary)
    write_json(
        folder / "dataset.json",
        {
            "schema": SCHEMA,
            "name": source.name,
            "kind": source.kind,
            "layout": source.layout,
            "size": list(size),
            "load_size": list(load_size) if load_size else None,
            "classes": list(source.classes.names),
            "palette": [list(colour) for colour in source.classes.palette],
            "ignore": source.classes.ignore,
            "edges": source.instances,
            "licence": source.classes.licence,
            "counts": counts(source, "input"),
            "photo_counts": counts(source, "photo") if source.kind == "unpaired" else None,
        },
    )


def _reference(archive: ArchiveWriter, source: Source, size: tuple[int, int]) -> Iterator[Sequence[str]]:
    """Add the training photos at `size`, made of the originals as other splits' are. Gives each item's problems.

    A photo that comes to `size` by way of a larger one is softer: a metric that takes both kinds for real ones would
    tell them apart.
    """
    for item, example in zip(source.items("train"), source.load("train", size), strict=True):
        if isinstance(example, BadItem):  # the larger one could be read a moment ago
            yield example.problems
            continue
        if "photo" in example:
            archive.add(f"{REFERENCE}/{item.name}.png", _png(example["photo"].pixels))
        yield ()


def _readings(source: Source, load_size: tuple[int, int] | None) -> int:
    """How many items are read in all: those of a training split that is stored larger twice."""
    once = sum(len(source.items(split)) for split in SPLITS)
    return once + (len(source.items("train")) if load_size else 0)


def expected_seconds(source: Source, size: tuple[int, int], load_size: tuple[int, int] | None) -> float:
    """How long `prepare` will take, by the first items, which are read as it reads them and thrown away."""
    reading, writing, timed = 0.0, 0.0, source.items("train")[: TIMED + 1]
    for index, item in enumerate(timed):
        if index == 1:  # the first one pays for set-up
            reading, writing = 0.0, 0.0
        start = time.perf_counter()
        try:
            example = source.read("train", item, load_size or size)
        except BadItem:  # prepare says why
            continue
        read = time.perf_counter()
        describe(item.name, "train", example, source.classes.licence)
        for picture in example.values():
            _png(picture.pixels)
        reading, writing = reading + read - start, writing + time.perf_counter() - read
    return _readings(source, load_size) * (reading / source.workers + writing) / max(len(timed) - 1, 1)


def _spread(items: Sequence[Item], side: Side) -> set[Item]:
    """Some that have this side, from all over the split: neighbours in a video look alike."""
    having = [item for item in items if side in item.sides]
    return set(having[:: max(1, -(-len(having) // SHEET_COLUMNS))])


def contact_sheet(pictures: Mapping[Side, Sequence[NDArray[np.uint8]]], classes: Classes) -> NDArray[np.uint8]:
    """A row of inputs, label maps in the palette's colours with dark edges, above a row of photos: uint8 [2H, n W, 3].

    pictures: by side, of one size; of pairs in the same order. Without pairs a row may be shorter: the rest is white.
    """
    colours = np.array(classes.palette, np.uint8)
    rows = []
    for side in SIDES:
        coloured = [_coloured(pixels, colours) for pixels in pictures[side]]
        rows.append(np.concatenate(coloured, axis=1))  # [H, n W, 3]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)


def _coloured(pixels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo [H, W, 3] as it is, class indices [H, W] and classes with edges [H, W, 2] in colours [H, W, 3]."""
    if pixels.ndim == 2:
        return colours[pixels]
    if pixels.shape[2] == 3:
        return pixels
    return colours[pixels[..., 0]] // np.where(pixels[..., 1:], EDGES_DARKER, 1).astype(np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
