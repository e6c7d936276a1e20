"""A set that others publish: a short description in YAML, by which its archive is fetched once and told to be the one.

The archive is kept for all projects of a user, named by its SHA-256, beside what understudy/fetch.py keeps. It has that
name once it is whole; what a broken connection has brought is kept apart, and the next try goes on from there.
"""

import http.client
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from understudy.data.ingest import FileSet
from understudy.data.source import Wanted
from understudy.errors import UserError
from understudy.fetch import SCHEMES, TIMEOUT, cache
from understudy.files import sha256
from understudy.locks import held
from understudy.params.loader import parse, read, require, require_sha256

BLOCK = 1 << 20  # bytes read at a time
REPORT_EVERY = 5.0  # seconds


@dataclass(frozen=True)
class _Description:
    """address: of a zip or tar archive. bytes, sha256: of the whole file, as somebody else has published them.

    folders: those of the archive that are read; archives may hold the same images again in others. licence: of the
    images, since archives seldom say it.
    """

    address: str
    bytes: int
    sha256: str
    folders: tuple[str, ...]
    licence: str

    def __post_init__(self) -> None:
        scheme = urlsplit(self.address).scheme
        require(scheme in SCHEMES, "address", f"begins with {' or '.join(SCHEMES)}:, found {self.address!r}")
        require(self.bytes > 0, "bytes", f"must be positive, found {self.bytes}")
        require_sha256(self.sha256)
        require(bool(self.folders), "folders", "name those that hold the images, such as [trainA, trainB]")
        require(bool(self.licence.strip()), "licence", "a text")


def is_published(path: Path) -> bool:
    """Whether a description is of such a set."""
    return "address" in read(path)


def open_published(path: Path, wanted: Wanted) -> FileSet:
    """The described set, its archive fetched if need be. Raises UserError naming the file and the key, or the address
    that does not give the file."""
    description = parse(_Description, read(path), str(path))
    archive = _archive(description, path)
    return FileSet(archive, wanted, path.stem, description.folders, description.licence)


def _archive(description: _Description, where: Path) -> Path:
    folder = cache().parent / "sets"
    whole, part = folder / description.sha256, folder / f"{description.sha256}.part"
    with held(folder / f"{description.sha256}.lock"):  # several runs would write one part
        if whole.exists() and sha256(whole) == description.sha256:
            return whole
        size = _megabytes(description.bytes)
        print(f"fetching {description.address}, {size}, once; it is kept as {whole}", flush=True)
        try:
            _fetch(description, part)
        # ValueError: an address that is none.
        except (OSError, ValueError, http.client.HTTPException) as error:
            ended = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            if isinstance(error, urllib.error.HTTPError) and error.code == ended:
                part.unlink(missing_ok=True)  # the server's file ends before this one: begin anew
            kept = _megabytes(part.stat().st_size if part.exists() else 0)
            raise UserError(
                f"{where}: {description.address} cannot be fetched: {error}; {kept} of {size} are kept. "
                "Run it again to go on, or fetch the archive elsewhere and give its path as prepare.source"
            ) from error
        found = sha256(part)
        if found != description.sha256:
            part.unlink()
            raise UserError(
                f"{where}: {description.address} gives a file of SHA-256 {found}, expected {description.sha256}: "
                "another file, or an error page. Nothing was kept; if the set was published anew, fetch it, look at it "
                "and give its path as prepare.source"
            )
        part.replace(whole)
    return whole


def _fetch(description: _Description, part: Path) -> None:
    """Add to `part` what it lacks. Raises OSError or HTTPException when that could not be had."""
    have = part.stat().st_size if part.exists() else 0
    if have >= description.bytes:
        return
    request = urllib.request.Request(description.address, headers={"Range": f"bytes={have}-"} if have else {})
    last = time.monotonic()
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        goes_on = have and answer.status == http.HTTPStatus.PARTIAL_CONTENT  # or it begins anew
        with part.open("ab" if goes_on else "wb") as stream:
            # One byte more than there should be tells another file, and a server that never ends fills no disk.
            while stream.tell() <= description.bytes and (block := answer.read(BLOCK)):
                stream.write(block)
                if time.monotonic() - last > REPORT_EVERY:
                    last = time.monotonic()
                    print(f"prepare: {_megabytes(stream.tell())} of {_megabytes(description.bytes)}", file=sys.stderr)
            if stream.tell() < description.bytes:
                raise OSError("the connection ended early")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
