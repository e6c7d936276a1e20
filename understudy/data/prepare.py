"""A source of pairs -> one archive per split, a manifest and a description: all of it, or nothing."""

import io
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.archive import write_archive
from understudy.data.drawn import DrawnSet
from understudy.data.ingest import PairedFiles
from understudy.data.manifest import Row, describe, write_manifest
from understudy.data.prepared import SCHEMA
from understudy.data.source import BadPair, Pair, Source
from understudy.data.terms import SPLITS
from understudy.errors import UserError
from understudy.files import atomic, write_json

SHEET_PAIRS = 12
TIMED = 3  # pairs, to tell how long all of them will take
Progress = Callable[[int, int], None]


def open_source(path: Path) -> Source:
    """A drawn set's description (.yaml), a folder, or a zip or tar archive. Raises UserError when it is neither."""
    if not path.exists():
        raise UserError(f"prepare.source: {path}: no such file or folder")
    return DrawnSet.describe(path) if path.suffix in (".yaml", ".yml") else PairedFiles(path)


def prepare(source: Source, size: tuple[int, int], folder: Path, progress: Progress) -> None:
    """Write {train,val,test}.zip, manifest.csv, dataset.json and samples.png into `folder`.

    size: height and width that every pair is brought to. progress: called with pairs done and pairs in all.
    Raises UserError that lists every bad file with its reason; then nothing has been written.
    """
    problems = list(source.problems)
    names = {split: source.names(split) for split in SPLITS}
    total = sum(map(len, names.values()))
    # Spread over the split: neighbours in a video look alike.
    shown = set(names["train"][:: max(1, -(-len(names["train"]) // SHEET_PAIRS))])
    rows: list[Row] = []
    sheet: list[Pair] = []
    with ExitStack() as stack:
        for split in SPLITS:
            archive = stack.enter_context(write_archive(folder / f"{split}.zip"))
            for name, pair in zip(names[split], source.load(split, size), strict=True):
                if isinstance(pair, BadPair):
                    problems += pair.problems
                    continue
                archive.add(f"photo/{name}.png", _png(pair.photo))
                archive.add(f"input/{name}.png", _png(pair.label))
                rows.append(describe(name, split, pair, source.classes.licence))
                if name in shown and split == "train":
                    sheet.append(pair)
                progress(len(rows), total)
        if problems:
            count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
            raise UserError("\n  ".join([f"prepare.source: {source.name}: {count}, nothing was written", *problems]))
    write_manifest(folder / "manifest.csv", rows)
    with atomic(folder / "samples.png") as temporary:
        Image.fromarray(contact_sheet(sheet, source.classes.palette)).save(temporary)
    write_json(
        folder / "dataset.json",
        {
            "schema": SCHEMA,
            "name": source.name,
            "kind": "labels",
            "layout": source.layout,
            "size": list(size),
            "classes": list(source.classes.names),
            "palette": [list(colour) for colour in source.classes.palette],
            "ignore": source.classes.ignore,
            "licence": source.classes.licence,
            "counts": {split: len(names[split]) for split in SPLITS},
        },
    )


def expected_seconds(source: Source, size: tuple[int, int]) -> float:
    """How long `prepare` will take, by the first pairs, which are read as it reads them and thrown away."""
    reading, writing, timed = 0.0, 0.0, source.names("train")[: TIMED + 1]
    for index, name in enumerate(timed):
        if index == 1:  # the first one pays for set-up
            reading, writing = 0.0, 0.0
        start = time.perf_counter()
        try:
            pair = source.read("train", name, size)
        except BadPair:  # prepare says why
            continue
        read = time.perf_counter()
        describe(name, "train", pair, source.classes.licence), _png(pair.photo), _png(pair.label)
        reading, writing = reading + read - start, writing + time.perf_counter() - read
    total = sum(len(source.names(split)) for split in SPLITS)
    return total * (reading / source.workers + writing) / max(len(timed) - 1, 1)


def contact_sheet(pairs: list[Pair], palette: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """Label maps in the palette's colours above their photos, side by side: uint8 [2H, n W, 3]."""
    colours = np.array(palette, np.uint8)
    columns = [np.concatenate((colours[pair.label], pair.photo)) for pair in pairs]  # each [2H, W, 3]
    return np.concatenate(columns, axis=1)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
