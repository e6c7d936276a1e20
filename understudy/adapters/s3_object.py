"""One object of S3 -> one file: goes on where an earlier try ended, and is compared with what the server says of it."""

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as Unconnected
from urllib3.exceptions import HTTPError

from understudy.adapters.s3_client import code
from understudy.data.mirror import Remote
from understudy.errors import UserError

BLOCK = 2**20  # bytes
PAUSES = (0.5, 1, 2, 4, 8, 16)  # seconds between tries that brought not one byte; boto3's own retries come on top
CUT = (
    HTTPClientError,
    Unconnected,
    IncompleteReadError,
    HTTPError,
    ConnectionError,
)  # of a server that is going, or gone


@dataclass(frozen=True)
class Received:
    """bytes: that came now. resumed: that were there from an earlier try."""

    bytes: int
    resumed: int


def receive(client: Any, bucket: str, remote: Remote, part: Path, stop: Event) -> Received:
    """Complete `part`, a file that an earlier try may have left, and verify it; it is on the disk afterwards.

    Raises UserError when the object changes meanwhile or twice arrives damaged, InterruptedError once `stop` is set,
    and boto3's own errors when the server refuses, or is silent for too long.
    """
    resumed = part.stat().st_size if part.exists() else 0
    bytes_now = 0
    for _ in range(2):
        bytes_now += _complete(client, bucket, remote, part, stop)
        if _is_whole(client, bucket, remote, part):
            with part.open("rb") as written:
                os.fsync(written.fileno())
            return Received(bytes_now, resumed)
        part.unlink()
        resumed = 0
    raise UserError(f"s3://{bucket}/{remote.key}: twice arrived with another checksum than the server's")


def _complete(client: Any, bucket: str, remote: Remote, part: Path, stop: Event) -> int:
    """Append what is missing, with pauses when the server is away. Returns how many bytes came."""
    came, pauses = 0, iter(PAUSES)
    part.touch()
    if part.stat().st_size > remote.size:
        part.unlink()
        part.touch()
    while (offset := part.stat().st_size) < remote.size:
        try:
            for block in _blocks(client, bucket, remote, offset, part):
                if stop.is_set():
                    raise InterruptedError
                with part.open("ab") as stream:
                    stream.write(block)
                came += len(block)
                pauses = iter(PAUSES)
        except (*CUT, ClientError) as error:
            if isinstance(error, ClientError) and not _is_passing(error):
                raise _changed(bucket, remote) if code(error) in ("412", "PreconditionFailed") else error from error
            pause = next(pauses, None)
            if pause is None:
                if isinstance(error, BotoCoreError | ClientError):
                    raise
                raise HTTPClientError(error=error) from error
            if stop.wait(pause):
                raise InterruptedError from error
    return came


def _blocks(client: Any, bucket: str, remote: Remote, offset: int, part: Path) -> Iterator[bytes]:
    """The object's bytes from `offset` on. A server that knows no ranges sends them all: the part then begins anew."""
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    answer = client.get_object(Bucket=bucket, Key=remote.key, IfMatch=f'"{remote.version}"', **wanted)
    if answer["ETag"].strip('"') != remote.version:  # not every server heeds IfMatch
        raise _changed(bucket, remote)
    if offset and not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
        os.truncate(part, 0)
    with closing(answer["Body"]) as body:
        yield from body.iter_chunks(BLOCK)


def _is_whole(client: Any, bucket: str, remote: Remote, part: Path) -> bool:
    """Whether the part has the object's checksum, as far as the server knows one.

    The version is the MD5, unless the object came in several pieces or is encrypted with a key of KMS. Then a checksum
    that the uploader sent along tells, if there is one over the whole object; without it, the size alone.
    """
    if part.stat().st_size != remote.size:
        return False
    has_md5 = re.fullmatch("[0-9a-f]{32}", remote.version) is not None
    if has_md5 and _digest(part, "md5").hex() == remote.version:
        return True
    about = client.head_object(Bucket=bucket, Key=remote.key, ChecksumMode="ENABLED")
    if about["ETag"].strip('"') != remote.version:
        raise _changed(bucket, remote)
    of_pieces = "-" in remote.version  # a server that does not tell of what means the pieces' checksums
    if about.get("ChecksumType", "COMPOSITE" if of_pieces else "FULL_OBJECT") == "FULL_OBJECT":
        for kind in ("sha256", "sha1", "crc32"):
            if given := about.get(f"Checksum{kind.upper()}"):
                return "-" in given or _digest(part, kind) == base64.b64decode(given)
    encrypted = "kms" in about.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in about
    return encrypted or not has_md5


def _digest(path: Path, kind: str) -> bytes:
    with path.open("rb") as stream:
        if kind == "crc32":
            value = 0
            while block := stream.read(BLOCK):
                value = zlib.crc32(block, value)
            return value.to_bytes(4, "big")
        return hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).digest()


def _is_passing(error: ClientError) -> bool:
    """Whether the server may well answer otherwise in a while."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or code(error) in ("SlowDown", "RequestTimeout")


def _changed(bucket: str, remote: Remote) -> UserError:
    return UserError(f"s3://{bucket}/{remote.key}: changed while it was being fetched; run it again")
