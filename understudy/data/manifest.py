"""The manifest: a CSV row for each photo, with what checks need to know without opening an image."""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.source import Example, Picture
from understudy.data.terms import Side
from understudy.errors import DATA_FAILED, UserError
from understudy.files import write_text


@dataclass(frozen=True)
class Row:
    """One prepared photo, with its label map where it has one: inputs that are photos have a row of their own.

    name: of its pair, or its own. path: from the set's own folder on; the name where it was drawn. side: whether it is
    an input or a photo to be made. width, height: as stored. source_width, source_height, source_mode, label_mode: as
    the files came, modes in Pillow's terms. photo_sha256, label_sha256: of the decoded pixels as stored, a label map's
    with its edges where it has them. brightness,
    red, green, blue: means of the photo, and contrast its standard deviation, in [0, 1]. dhash: difference hash, 16 hex
    digits. classes: ids that occur in the label map, separated by spaces. What is about a label map is empty where
    there is none. Training photos that are kept at another size for metrics have no row of their own.
    """

    name: str
    path: str
    split: str
    side: Side
    width: int
    height: int
    source_width: int
    source_height: int
    source_mode: str
    label_mode: str
    photo_sha256: str
    label_sha256: str
    brightness: float
    red: float
    green: float
    blue: float
    contrast: float
    dhash: str
    classes: str
    licence: str


COLUMNS = tuple(field.name for field in fields(Row))
_FLOATS = {"brightness", "red", "green", "blue", "contrast"}


def describe(name: str, split: str, example: Example, licence: str) -> list[Row]:
    """The rows of an item as it is stored."""
    label = next((picture for picture in example.values() if picture.labels is not None), None)
    return [
        _row(name, split, side, picture, label, licence) for side, picture in example.items() if picture is not label
    ]


def _row(name: str, split: str, side: Side, picture: Picture, label: Picture | None, licence: str) -> Row:
    photo = picture.pixels
    classes = None if label is None else label.labels
    unit = photo.astype(np.float64) / 255
    red, green, blue = (round(float(value), 6) for value in unit.mean(axis=(0, 1)))
    return Row(
        name=name, path=picture.path, split=split, side=side, width=photo.shape[1], height=photo.shape[0],
        source_width=picture.source_size[1], source_height=picture.source_size[0],
        source_mode=picture.mode, label_mode=label.mode if label else "",
        photo_sha256=hashlib.sha256(photo.tobytes()).hexdigest(),
        label_sha256=hashlib.sha256(label.pixels.tobytes()).hexdigest() if label else "",
        brightness=round(float(unit.mean()), 6), red=red, green=green, blue=blue,
        contrast=round(float(unit.std()), 6), dhash=difference_hash(photo),
        classes="" if classes is None else " ".join(map(str, np.unique(classes))), licence=licence,
    )  # fmt: skip


def difference_hash(photo: NDArray[np.uint8]) -> str:
    """64 bits, as 16 hex digits: is each of 8 x 8 places darker than its right neighbour? photo: uint8 [H, W, 3].

    Photos of the same scene differ in few bits, whatever their size, compression or brightness.
    """
    grey = np.asarray(Image.fromarray(photo).convert("L").resize((9, 8), Image.Resampling.LANCZOS), np.int16)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])  # [8, 9] -> [8, 8] -> 8 bytes
    return bits.tobytes().hex()


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as CSV (UTF-8, header first, six decimals), atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = ((column, getattr(row, column)) for column in COLUMNS)
        writer.writerow([f"{value:.6f}" if column in _FLOATS else value for column, value in values])
    write_text(path, text.getvalue())


def read_manifest(path: Path) -> dict[str, list[str]]:
    """The columns of a manifest by name, every cell as the text that stands in the file.

    Whether they are the right columns with the right content is `check`'s question, which has an answer for each cell.
    Raises UserError, code DATA_FAILED, when it is no table.
    """
    advice = "run `dvc repro prepare`"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = list(csv.reader(stream, strict=True)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); {advice}", DATA_FAILED) from error
    if not header:
        raise UserError(f"{path}: empty; {advice}", DATA_FAILED)
    if len(set(header)) < len(header):
        raise UserError(f"{path}: two columns of one name in the header; {advice}", DATA_FAILED)
    if ragged := [number for number, row in enumerate(rows, start=2) if len(row) != len(header)]:
        raise UserError(
            f"{path}: {len(header)} columns in the header, another number in {len(ragged)} rows, the first being "
            f"row {ragged[0]}; {advice}",
            DATA_FAILED,
        )
    return {column: [row[place] for row in rows] for place, column in enumerate(header)}
