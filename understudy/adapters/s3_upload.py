"""One file -> one object that was not there: never over another, in parts where it is large, gone on with after a kill.

Every request carries an MD5 and a SHA-256 of what it sends: a server that knows them refuses what arrived damaged.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from understudy.adapters.s3_client import code, in_base64
from understudy.errors import UserError

PART = 8 * 2**20  # bytes; a larger file goes in parts of so many, as S3 wants them to be 5 MiB or more
MOST_PARTS = 10_000  # S3's
WORKERS = 4  # parts at a time, each of which is in memory
PAUSES = (0.2, 1.0, 3.0)  # seconds before another look, when somebody else wrote the object meanwhile
TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
GONE = ("NoSuchUpload", "NoSuchKey", "404")  # somebody else has completed the upload; Ceph says NoSuchKey
UNTOLD = "SHA256"  # servers that know no checksums do not tell by which one an upload was begun


@dataclass(frozen=True)
class Part:
    """A stretch of a file: number from 1 on, bytes from `offset`, digests."""

    number: int
    offset: int
    size: int
    md5: bytes
    sha256: bytes


@dataclass(frozen=True)
class Local:
    """A file here, read once: size in bytes, digests of the whole and of its parts."""

    path: Path
    size: int
    md5: bytes
    sha256: bytes
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, path: Path) -> "Local":
        size = path.stat().st_size
        step = max(PART, -(-size // MOST_PARTS))
        md5, sha256, parts = hashlib.md5(usedforsecurity=False), hashlib.sha256(), list[Part]()
        with path.open("rb") as stream:
            while block := stream.read(step):
                md5.update(block)
                sha256.update(block)
                own = hashlib.md5(block, usedforsecurity=False).digest(), hashlib.sha256(block).digest()
                parts.append(Part(len(parts) + 1, len(parts) * step, len(block), *own))
        return cls(path, size, md5.digest(), sha256.digest(), tuple(parts))

    @property
    def etags(self) -> tuple[str, str]:
        """What a server calls this content: its MD5, or that of the parts' MD5s, and how many there were."""
        of_parts = hashlib.md5(b"".join(part.md5 for part in self.parts), usedforsecurity=False)
        return self.md5.hex(), f"{of_parts.hexdigest()}-{len(self.parts)}"

    @property
    def metadata(self) -> dict[str, str]:
        return {"sha256": self.sha256.hex()}

    def bytes_of(self, part: Part) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(part.offset)
            return stream.read(part.size)


@dataclass(frozen=True)
class Sent:
    """bytes: that were sent now. kept: that were there."""

    bytes: int
    kept: int


def send(client: Any, bucket: str, key: str, local: Local) -> Sent:
    """Make the object, unless it is there. Raises UserError when another content is, and boto3's own errors."""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        if is_there(client, bucket, key, local):
            return Sent(0, local.size)
        sent = (_in_parts if len(local.parts) > 1 else _whole)(client, bucket, key, local)
        if sent is not None:
            return sent
    raise UserError(f"s3://{bucket}/{key}: others write and remove it at the same time; run it again")


def put_new(client: Any, bucket: str, key: str, content: bytes, metadata: Mapping[str, str] | None = None) -> bool:
    """Write an object, where the server heeds If-None-Match only if there is none; whether it was written."""
    try:
        client.put_object(
            Bucket=bucket, Key=key, Body=content, Metadata=metadata or {}, IfNoneMatch="*",
            ContentMD5=in_base64(hashlib.md5(content, usedforsecurity=False).digest()),
            ChecksumSHA256=in_base64(hashlib.sha256(content).digest()),
        )  # fmt: skip
    except ClientError as error:
        if code(error) not in TAKEN:
            raise
        return False
    return True


def is_there(client: Any, bucket: str, key: str, local: Local) -> bool:
    """Whether the object exists. Raises UserError when it does, and is not this file."""
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code(error) in GONE:
            return False
        raise
    known = found["ETag"].strip('"') in local.etags
    if found["ContentLength"] != local.size or not (known or _reads_same(client, bucket, key, local)):
        raise UserError(
            f"s3://{bucket}/{key}: is there with other content than {local.path.name} has (SHA-256 "
            f"{local.sha256.hex()[:12]}…); it was not overwritten: publish a new version, or below another prefix"
        )
    return True


def _reads_same(client: Any, bucket: str, key: str, local: Local) -> bool:
    """By reading all of it: an object that came in other parts, or is encrypted by KMS, has no telling ETag."""
    found = hashlib.sha256()
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        for block in body.iter_chunks(2**20):
            found.update(block)
    return found.digest() == local.sha256


def _whole(client: Any, bucket: str, key: str, local: Local) -> Sent | None:
    """None when somebody else was first."""
    done = put_new(client, bucket, key, local.path.read_bytes(), local.metadata)
    return Sent(local.size, 0) if done else None


def _in_parts(client: Any, bucket: str, key: str, local: Local) -> Sent | None:
    """Send the parts that are not there and put all together; None when somebody else was first.

    Parts of an upload that nobody completed are kept: of a publisher that was killed, or of another one at this moment.
    """
    upload, etags = _unfinished(client, bucket, key, local)
    if not upload:
        begun = client.create_multipart_upload(
            Bucket=bucket, Key=key, Metadata=local.metadata, ChecksumAlgorithm="SHA256"
        )
        upload = begun["UploadId"]
    missing = [part for part in local.parts if part.number not in etags]

    def one(part: Part) -> str:
        return client.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=part.number, Body=local.bytes_of(part),
            ContentMD5=in_base64(part.md5), ChecksumSHA256=in_base64(part.sha256),
        )["ETag"]  # fmt: skip

    try:
        with ThreadPoolExecutor(WORKERS) as pool:  # the first that fails cancels those that wait
            etags = {**etags, **dict(zip((part.number for part in missing), pool.map(one, missing), strict=True))}
        parts = [
            {"PartNumber": part.number, "ETag": etags[part.number],
             "ChecksumSHA256": in_base64(part.sha256)}
            for part in local.parts
        ]  # fmt: skip
        client.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
        )
    except ClientError as error:
        if code(error) not in TAKEN + GONE:
            raise
        return None
    size = sum(part.size for part in missing)
    return Sent(size, local.size - size)


def _unfinished(client: Any, bucket: str, key: str, local: Local) -> tuple[str, Mapping[int, str]]:
    """The upload of this object that has most of the parts already, if any has one; and their ETags by number."""
    best: tuple[str, Mapping[int, str]] = ("", {})
    for upload in _pages(client, "list_multipart_uploads", "Uploads", Bucket=bucket, Prefix=key):
        if upload["Key"] == key and upload.get("ChecksumAlgorithm", UNTOLD) == UNTOLD:
            found = _parts_there(client, bucket, key, upload["UploadId"], local)
            best = max(best, (upload["UploadId"], found), key=lambda each: len(each[1]))
    return best


def _parts_there(client: Any, bucket: str, key: str, upload: str, local: Local) -> dict[int, str]:
    """ETags, by number, of the parts that arrived and are this file's."""
    wanted = {part.number: part for part in local.parts}
    etags = {}
    for entry in _pages(client, "list_parts", "Parts", Bucket=bucket, Key=key, UploadId=upload):
        part = wanted.get(entry["PartNumber"])
        if part is not None and entry["Size"] == part.size and _is(entry, part):
            etags[part.number] = entry["ETag"]
    return etags


def _pages(client: Any, listing: str, entries: str, **arguments: str) -> Iterator[Mapping[str, Any]]:
    """All entries of a listing; none when the upload was completed meanwhile, or, of rclone, when there is none."""
    try:
        for page in client.get_paginator(listing).paginate(**arguments):
            yield from page.get(entries, [])
    except ClientError as error:
        if code(error) not in GONE:
            raise


def _is(entry: Mapping[str, Any], part: Part) -> bool:
    """Whether a part that arrived is this one: by its MD5, or where KMS encrypts by its SHA-256."""
    return entry["ETag"].strip('"') == part.md5.hex() or entry.get("ChecksumSHA256") == in_base64(part.sha256)
