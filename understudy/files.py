"""Files that other steps read: written whole or not at all, and named by their content."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from understudy.errors import UserError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed onto it when the block ends well, removed when it does not.

    The data is on the disk before the name is: after a crash the old file or the new one is there, never half of one.
    Raises UserError, naming the file, when it cannot be written.
    """
    # The suffix is kept, since writers (Pillow, numpy) choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:  # no permission, no space, a file where a folder should be
        raise UserError(f"{path}: cannot be written: {error}") from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers left anywhere below `folder`. Nobody may be writing there."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\..+\.\d+(\.\w+)?", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused: no JSON reader agrees on them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError, naming the file, when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, OSError, RecursionError) as error:  # the last of brackets without end
        raise UserError(f"{path}: cannot be read as JSON: {error}") from error


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks. Raises UserError when the file is missing."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
