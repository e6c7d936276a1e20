"""A tiny data set in the documented layout, written as real files that tests then spoil."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy.data.ingest import FileSet
from understudy.data.prepare import open_source, prepare
from understudy.data.source import Example, Item, Source, Wanted
from understudy.data.terms import SIDES, Side
from understudy.errors import UserError

PALETTE = [[128, 64, 128], [70, 70, 70], [0, 0, 0]]
CLASSES = {"names": ["road", "house", "void"], "palette": PALETTE, "ignore": 2, "licence": "CC0-1.0"}
SIZE = (24, 32)  # height, width of the files
LABEL_MAPS = Wanted("labels", None)


def photo(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """An RGB image of smooth random colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)


def label(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Class ids 0 to 2 as a palette image."""
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 3, size, np.uint8)).convert("L")
    image.putpalette([channel for colour in PALETTE for channel in colour])
    return image


def write_set(folder: Path, pairs: int = 2) -> Path:
    """The layout under `folder`: pairs 0, 1, ... in each split."""
    for s, split in enumerate(("train", "val", "test")):
        for kind in ("photo", "label"):
            (folder / split / kind).mkdir(parents=True)
        for i in range(pairs):
            photo(100 * s + i).save(folder / split / "photo" / f"{i}.png")
            label(100 * s + i).save(folder / split / "label" / f"{i}.png")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Relative path -> content."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def zipped(folder: Path, path: Path, prefix: str = "", extra: dict[str, bytes] | None = None) -> Path:
    """The folder as a zip, with `extra` entries under their own names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files(folder).items():
            archive.writestr(prefix + name, content)
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return path


def tarred(folder: Path, path: Path, mode: str = "w", extra: list[tarfile.TarInfo] | None = None) -> Path:
    """The folder as a tar (`mode` w, w:gz, ...), with `extra` members of no content."""
    with tarfile.open(path, mode) as archive:
        for name, content in files(folder).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra or []:
            archive.addfile(member)
    return path


def prepared(
    source: Path,
    out: Path,
    wanted: Wanted = LABEL_MAPS,
    size: tuple[int, int] = (16, 20),
    load_size: tuple[int, int] | None = None,
) -> Path:
    """`out`, with what `prepare` makes of the source."""
    prepare(open_source(source, wanted), size, load_size, out, lambda done, total: None)
    return out


def refused(source: Path, wanted: Wanted = LABEL_MAPS) -> str:
    """The error's message; checks that nothing was written."""
    out = source.parent / "out"
    with pytest.raises(UserError) as caught:
        prepared(source, out, wanted)
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def read_pair(
    source: Path, split: str, name: str, size: tuple[int, int] = SIZE, wanted: Wanted = LABEL_MAPS
) -> Example:
    """One pair of a folder or an archive."""
    return FileSet(source, wanted).read(split, Item(name, SIDES), size)


def names(source: Source, split: str, side: Side = "photo") -> tuple[str, ...]:
    """Of the items of a split that have this side."""
    return tuple(item.name for item in source.items(split) if side in item.sides)
