"""A split in one uncompressed zip: one file to hash and to move, and the same bytes for the same pairs."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from understudy.files import atomic

# Anything that changes from run to run, time above all, would make DVC rerun what depends on the archive.
EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX, READABLE = 3, 0o644 << 16


class ArchiveWriter:
    """Appends entries to an open zip."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, content: bytes) -> None:
        """Store `content` under `name`, which may hold any Unicode characters."""
        entry = zipfile.ZipInfo(name, EPOCH)
        entry.create_system, entry.external_attr = UNIX, READABLE
        self._archive.writestr(entry, content, zipfile.ZIP_STORED)


@contextmanager
def write_archive(path: Path) -> Iterator[ArchiveWriter]:
    """A writer of `path`; the file appears when the block ends well, and not at all when it does not."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        yield ArchiveWriter(archive)
