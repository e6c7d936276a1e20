"""A folder or an archive as one thing: relative paths, and the bytes behind each, read in place.

Nothing is ever extracted, so an entry cannot write outside; one that tries (`..`, an absolute path, a link) is
reported all the same, since an archive that holds one was not made by a tool for data sets.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from understudy.errors import UserError

MAX_FILE = 256 * 2**20  # bytes; an 8k photo without compression has 100 MB
# A compressed tar has to be unpacked to be read in any order. Images hardly compress: more than this is a bomb.
MAX_UNPACKED, MAX_RATIO = 2**30, 100
# What Python's readers raise of archives that are spoilt. RuntimeError: one that is encrypted, or of a kind they lack.
DAMAGE = (
    OSError, EOFError, ValueError, OverflowError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
    tarfile.TarError,
)  # fmt: skip
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".gif")


class Unreadable(Exception):
    """A file whose bytes cannot be had; the message is the reason."""


class Container(Protocol):
    """paths: of the regular files, relative, with forward slashes, sorted. problems: entries that were refused."""

    paths: list[str]
    problems: list[str]

    def read(self, path: str) -> bytes:
        """The content of one file. Raises Unreadable."""


def open_container(path: Path) -> Container:
    """A folder, or a zip or tar archive told by its content. Raises UserError when it is neither, or damaged.

    A folder that holds archives and no folder is what they hold together, beside its other files: sets are handed out
    as several archives, and what describes one may lie beside it. One of images without a folder is a folder itself.
    """
    if path.is_dir():
        folder = _Folder(path)
        packed = [file for file in folder.paths if file.lower().endswith(ARCHIVES)]
        deeper = any("/" in file and not is_litter(file) for file in folder.paths)
        return _Packed(path, folder, packed) if packed and not deeper else folder
    try:
        if zipfile.is_zipfile(path):
            return _Zip(path)
        if tarfile.is_tarfile(path):
            return _Tar(path)
    except DAMAGE as error:
        raise UserError(f"prepare.source: {path}: damaged or unreadable ({error}); fetch or make it again") from error
    raise UserError(f"prepare.source: {path}: neither a folder nor a zip or tar archive, or its end is missing")


def is_litter(path: str) -> bool:
    """What operating systems leave in folders and archives."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in path.split("/"))


def refusal(name: str, link: bool) -> str | None:
    """Why an entry's name is not accepted, or None."""
    path = PurePosixPath(name.replace("\\", "/"))
    if ".." in path.parts:
        return "climbs out of the archive (..)"
    if path.is_absolute() or (path.parts and path.parts[0].endswith(":")):
        return "absolute path"
    return "is a link; store the file itself" if link else None


def _check_size(size: int) -> None:
    if size > MAX_FILE:
        raise Unreadable(f"enormous: {size / 2**20:.0f} MB, at most {MAX_FILE // 2**20}")


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.paths = sorted(file.relative_to(path).as_posix() for file in _files(path))
        self.problems: list[str] = []

    def read(self, path: str) -> bytes:
        try:
            _check_size((self._path / path).stat().st_size)
            return (self._path / path).read_bytes()
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error


def _files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every file below a folder. Links are followed: DVC's cache and data on another disk are both reached through
    them. One that leads back to a folder on the way to it is passed over, or the walk would never end.

    above: the real paths of the folders on the way.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files(path, (*above, real))
        else:
            yield path


class _Packed:
    """Archives in one folder, and the files beside them. Of paths that several hold the first is meant, which is
    listed as a problem where it matters: a licence that comes with each of them does not."""

    def __init__(self, path: Path, folder: _Folder, packed: list[str]) -> None:
        self._holders: dict[str, tuple[Container, str]] = {
            file: (folder, file) for file in folder.paths if file not in packed
        }
        self.problems = []
        for file in packed:
            archive = open_container(path / file)
            self.problems += [f"{file}: {problem}" for problem in archive.problems]
            above = _folder_of(file, archive)
            for entry in archive.paths:
                held = (archive, entry)
                if self._holders.setdefault(above + entry, held) is not held and "/" in above + entry:
                    self.problems.append(f"{file}: {entry}: is also in another archive of this folder")
        self.paths = sorted(self._holders)

    def read(self, path: str) -> bytes:
        holder, entry = self._holders[path]
        return holder.read(entry)


def _folder_of(file: str, archive: Container) -> str:
    """What stands before the paths of an archive's files: its name as a folder where it holds images and no folder, as
    of trainA.zip, and nothing else. Several such archives would be one heap of images otherwise."""
    paths = [path for path in archive.paths if not is_litter(path)]
    if any("/" in path for path in paths) or not any(path.lower().endswith(IMAGES) for path in paths):
        return ""
    ending = next(ending for ending in ARCHIVES if file.lower().endswith(ending))
    return file[: -len(ending)] + "/"


class Chosen:
    """Some folders of a container, at its top or in the one folder there. What else it holds might not be there."""

    def __init__(self, files: Container, path: Path, folders: Iterable[str]) -> None:
        """path: of the container, for messages. Raises UserError when it lacks one of the folders."""
        wanted = set(folders)
        self.read, self.problems = files.read, files.problems
        self.paths = [file for file in files.paths if wanted & set(file.split("/")[:-1][:2])]
        if lacking := [folder for folder in folders if not any(folder in file.split("/")[:2] for file in self.paths)]:
            raise UserError(f"prepare.source: {path}: has no folder {', '.join(lacking)}")


class _Zip:
    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)
        self.paths, self.problems = [], []
        for entry in self._archive.infolist():
            link = stat.S_ISLNK(entry.external_attr >> 16)
            if reason := refusal(entry.filename, link):
                self.problems.append(f"{entry.filename}: {reason}")
            elif not entry.is_dir():
                self.paths.append(entry.filename)
        self.paths.sort()

    def read(self, path: str) -> bytes:
        try:
            claimed = self._archive.getinfo(path).file_size
            _check_size(claimed)
            with self._archive.open(path) as stream:
                return stream.read(claimed + 1)  # bounded, whatever the entry unpacks to
        except DAMAGE as error:
            raise Unreadable(f"damaged in the archive: {error}") from error


class _Tar:
    def __init__(self, path: Path) -> None:
        self._archive = tarfile.open(fileobj=_unpacked(path), mode="r:")  # noqa: SIM115 - open as long as the set is
        self._members: dict[str, tarfile.TarInfo] = {}
        self.problems = []
        for member in self._archive.getmembers():
            name = member.name.removeprefix("./")
            if reason := refusal(name, member.issym() or member.islnk()):
                self.problems.append(f"{name}: {reason}")
            elif member.isreg():
                self._members[name] = member
            elif not member.isdir():
                self.problems.append(f"{name}: neither a file nor a folder")
        self.paths = sorted(self._members)

    def read(self, path: str) -> bytes:
        _check_size(self._members[path].size)
        try:
            stream = self._archive.extractfile(self._members[path])
            content = stream.read() if stream else b""
        except DAMAGE as error:
            raise Unreadable(f"damaged in the archive: {error}") from error
        if len(content) < self._members[path].size:
            raise Unreadable("truncated: the archive ends inside it")
        return content


_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


def _unpacked(path: Path) -> IO[bytes]:
    """The tar's own bytes, in which one can seek: the file, or a temporary copy of a compressed one."""
    with path.open("rb") as stream:
        magic = stream.read(6)
    opener = next((opener for start, opener in _OPENERS.items() if magic.startswith(start)), None)
    if opener is None:
        return path.open("rb")
    limit = max(MAX_UNPACKED, MAX_RATIO * path.stat().st_size)
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the archive that reads it
    with opener(path, "rb") as stream:
        while block := stream.read(2**20):
            copy.write(block)
            if copy.tell() > limit:
                raise UserError(
                    f"prepare.source: {path}: enormous: unpacks to more than {limit / 2**20:,.0f} MB; if that is "
                    "meant, make it again as a zip or as a tar without compression"
                )
    copy.seek(0)
    return copy
