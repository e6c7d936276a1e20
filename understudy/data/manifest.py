"""The manifest: one CSV row for each pair, with what checks need to know without opening an image."""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import UserError
from understudy.files import write_text


@dataclass(frozen=True)
class Row:
    """One prepared pair.

    width, height: as stored. source_width, source_height, source_mode, label_mode: as the files came, modes in
    Pillow's terms. photo_sha256, label_sha256: of the decoded pixels as stored. brightness, red, green, blue: means of
    the photo, and contrast its standard deviation, in [0, 1]. dhash: difference hash, 16 hex digits. classes: ids that
    occur in the label map, separated by spaces.
    """

    name: str
    split: str
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
_INTEGERS = {"width", "height", "source_width", "source_height"}


def describe(
    name: str, split: str, photo: NDArray[np.uint8], label: NDArray[np.uint8],
    source_size: tuple[int, int], source_mode: str, label_mode: str, licence: str,
) -> Row:  # fmt: skip
    """The row of a pair. photo: [H, W, 3]; label: [H, W]; source_size: height and width of the files."""
    unit = photo.astype(np.float64) / 255
    red, green, blue = (round(float(value), 6) for value in unit.mean(axis=(0, 1)))
    return Row(
        name=name, split=split, width=photo.shape[1], height=photo.shape[0],
        source_width=source_size[1], source_height=source_size[0], source_mode=source_mode, label_mode=label_mode,
        photo_sha256=hashlib.sha256(photo.tobytes()).hexdigest(),
        label_sha256=hashlib.sha256(label.tobytes()).hexdigest(),
        brightness=round(float(unit.mean()), 6), red=red, green=green, blue=blue,
        contrast=round(float(unit.std()), 6), dhash=difference_hash(photo),
        classes=" ".join(map(str, np.unique(label))), licence=licence,
    )  # fmt: skip


def difference_hash(photo: NDArray[np.uint8]) -> str:
    """64 bits, as 16 hex digits: is each of 8 x 8 places darker than its right neighbour? photo: uint8 [H, W, 3].

    Photos of the same scene differ in few bits, whatever their size, compression or brightness.
    """
    grey = np.asarray(Image.fromarray(photo).convert("L").resize((9, 8), Image.Resampling.LANCZOS), np.int16)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])  # [8, 9] -> [8, 8] -> 8 bytes
    return bits.tobytes().hex()


def hash_distance(a: str, b: str) -> int:
    """In how many of their 64 bits two difference hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as CSV (UTF-8, header first, six decimals), atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = ((column, getattr(row, column)) for column in COLUMNS)
        writer.writerow([f"{value:.6f}" if column in _FLOATS else value for column, value in values])
    write_text(path, text.getvalue())


def read_manifest(path: Path) -> list[Row]:
    """Read what `write_manifest` wrote. Raises UserError, naming file and line, when it is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            if tuple(next(reader, ())) != COLUMNS:
                raise UserError(f"{path}: not a manifest of this version; run `dvc repro prepare`")
            rows = []
            for values in reader:
                try:
                    pairs = zip(COLUMNS, values, strict=True)
                    parsed: dict[str, Any] = {column: _parse(column, value) for column, value in pairs}
                    rows.append(Row(**parsed))
                except ValueError as error:
                    raise UserError(f"{path}: line {reader.line_num}: {error}; run `dvc repro prepare`") from None
            return rows
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; `dvc repro prepare` makes it") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a manifest: {error}; run `dvc repro prepare`") from error


def _parse(column: str, value: str) -> str | int | float:
    if column in _INTEGERS:
        return int(value)
    return float(value) if column in _FLOATS else value
