"""A file that others made: from a path, or fetched once from an address, and not looked into unless its hash is right.

What was fetched is kept for all projects of a user, named by its SHA-256. A file is there whole or not at all.
"""

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from understudy.errors import UserError
from understudy.files import atomic

TIMEOUT = 60.0  # seconds without an answer
LARGEST = 2 << 30  # bytes of an answer: a server that never ends must not fill the disk
SCHEMES = ("https", "file")


def read_verified(source: str, sha256: str, key: str) -> bytes:
    """The content of a file of known SHA-256.

    source: a path, from the working directory unless absolute, or an https: or file: address. sha256: 64 hexadecimal
    digits. key: of the parameter that names the source, beside which there is one `sha256`; for messages.
    Raises UserError when there is no such file, the address does not answer, or the content has another hash: then
    nothing is kept.
    """
    try:
        scheme = urlsplit(source).scheme
    except ValueError as error:
        raise UserError(f"{key}: {source}: no path and no address ({error})") from error
    if not scheme:
        return _checked(_read(Path(source), key), sha256, source, key)
    if scheme not in SCHEMES:
        raise UserError(f"{key}: {source}: expected a path, or an address that begins with https: or file:")
    kept = cache() / sha256
    if kept.exists() and hashlib.sha256(data := _read(kept, key)).hexdigest() == sha256:
        return data
    _fetch(source, sha256, kept, key)
    return _checked(_read(kept, key), sha256, str(kept), key)


def cache() -> Path:
    """The folder that keeps what was fetched: understudy/weights in the user's cache folder (XDG base directories)."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "understudy" / "weights"


def _fetch(address: str, sha256: str, path: Path, key: str) -> None:
    print(f"fetching {address}, once; it is kept as {path}", flush=True)
    with atomic(path) as temporary:
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, temporary.open("wb") as stream:
                while (block := answer.read(1 << 20)) and stream.tell() <= LARGEST:
                    stream.write(block)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UserError(
                f"{key}: {address} cannot be fetched: {error}; try again, or fetch the file elsewhere and name its path"
            ) from error
        if temporary.stat().st_size > LARGEST:
            raise UserError(f"{key}: {address} gives more than {LARGEST >> 30} GiB: no network's weights")
        _checked(temporary.read_bytes(), sha256, address, key)


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{key}: {path} cannot be read: {reason}; put the file there, name another path or address,"
            " or set the key to null"
        ) from error


def _checked(data: bytes, sha256: str, where: str, key: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        section = key.rpartition(".")[0]
        raise UserError(
            f"{section}.sha256: {where} has SHA-256 {found}, expected {sha256}; it is another file or a damaged one, "
            "and was not loaded: get it again, or correct the key if this is the file that you mean"
        )
    return data
