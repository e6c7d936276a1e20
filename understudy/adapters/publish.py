"""A promoted version -> a bundle on S3, PREFIX/NAME/VERSION, written once: the same again is fine, another refused.

The order makes it safe. BEGUN, the list of all checksums, is written first and only where there is none
(If-None-Match), so that of two publishers with different files one has the version, and the other goes away before it
wrote anything. Then the files, none of which may be there with other content. SHA256SUMS comes last: without it there
is no bundle.
"""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy import bundle
from understudy.adapters.registry import Registered, download
from understudy.adapters.s3_client import connect, explained, read_small, split
from understudy.errors import DATA_FAILED, GATE_FAILED, UserError
from understudy.files import sha256

if TYPE_CHECKING:
    from understudy.adapters.s3_upload import Local, Sent

NEEDS = (
    "s3:ListBucket and s3:ListBucketMultipartUploads on the bucket, and s3:PutObject, s3:GetObject and "
    "s3:ListMultipartUploadParts on its objects"
)
UNGUARDED = (
    "this server (or a bucket with versioning, on some) does not heed If-None-Match: what is there was looked for "
    "before each write, but two publishers at the same moment could overwrite each other here"
)
PROMOTED_TAG = "promoted_at"


@dataclass(frozen=True)
class Published:
    """address: of the bundle. files: how many. sent, kept: bytes that were sent now, that were there. notes: to say."""

    address: str
    files: int
    sent: int
    kept: int
    notes: tuple[str, ...]


def publish(root: Path, model: str, target: str) -> Published:
    """Write the registered version `model` (models:/NAME@champion, models:/NAME/VERSION) below `target`, an S3 address.

    Raises UserError: with code GATE_FAILED for a version that was never promoted, DATA_FAILED when the store's files
    are not those that were registered.
    """
    split(target)  # before anything is downloaded
    with tempfile.TemporaryDirectory() as folder:
        version = download(root, model, Path(folder))
        _require_promoted(version)
        _require_registered(version)
        files = bundle.contents(version.files.values(), model)
        return write(files, f"{target.rstrip('/')}/{version.model}/{version.version}")


def write(files: Mapping[str, Path], address: str) -> Published:
    """Write a bundle of these files, by name, to `address`; what an earlier try has sent is not sent again."""
    bucket, prefix = split(address)
    with explained(address, NEEDS):
        from understudy.adapters import s3_upload

        client = connect(address)
        local = {name: s3_upload.Local.read(path) for name, path in files.items()}
        digests = {name: file.sha256.hex() for name, file in local.items()}
        notes = () if _claim(client, bucket, f"{prefix}/", digests) else (UNGUARDED,)
        sent = kept = 0
        for name, file in local.items():
            done = s3_upload.send(client, bucket, f"{prefix}/{name}", file)
            _tell(name, done)
            sent, kept = sent + done.bytes, kept + done.kept
        _require_all(client, bucket, f"{prefix}/", local)
        _require_own(client, bucket, f"{prefix}/", digests)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / bundle.SUMS
            path.write_text(bundle.sums(digests))
            s3_upload.send(client, bucket, f"{prefix}/{bundle.SUMS}", s3_upload.Local.read(path))
    return Published(address, len(local), sent, kept, notes)


def _claim(client: Any, bucket: str, folder: str, digests: Mapping[str, str]) -> bool:
    """Make the version ours, or find that it is; whether the server guards that. Raises UserError when it is another's.

    A server that heeds If-None-Match refuses to write BEGUN a second time; one that does not writes the same again.
    """
    from understudy.adapters.s3_upload import put_new

    text = bundle.sums(digests).encode()
    if read_small(client, bucket, folder + bundle.BEGUN) is None:
        put_new(client, bucket, folder + bundle.BEGUN, text)
    _require_own(client, bucket, folder, digests)
    guarded = not put_new(client, bucket, folder + bundle.BEGUN, text)
    _require_own(client, bucket, folder, digests)
    return guarded


def _require_own(client: Any, bucket: str, folder: str, digests: Mapping[str, str]) -> None:
    """Raise UserError when the version is another bundle's: what is different, and that nothing was overwritten."""
    found = read_small(client, bucket, folder + bundle.BEGUN)
    if found == bundle.sums(digests).encode():
        return
    where = f"s3://{bucket}/{folder.rstrip('/')}"
    if found is None:
        raise UserError(f"{where}/{bundle.BEGUN}: was removed meanwhile; run it again")
    names = bundle.differing(bundle.read_sums(found, f"{where}/{bundle.BEGUN}"), digests)
    raise UserError(
        f"{where}: another bundle has this version ({', '.join(names)} differ); nothing was overwritten: publish a new "
        "version, or below another prefix"
    )


def _require_all(client: Any, bucket: str, folder: str, local: "Mapping[str, Local]") -> None:
    """Raise UserError unless every object is there as it was sent: the last look before the bundle counts as whole."""
    from understudy.adapters.s3_upload import is_there

    for name, file in local.items():
        if not is_there(client, bucket, folder + name, file):
            raise UserError(f"s3://{bucket}/{folder}{name}: was removed meanwhile; run it again")


def _require_promoted(version: Registered) -> None:
    if not version.address.endswith("@champion") and PROMOTED_TAG not in version.tags:
        raise UserError(
            f"{version.address}: version {version.version} was never promoted (it has no tag {PROMOTED_TAG}), and only "
            "what passed its gate is published; `understudy promote`",
            GATE_FAILED,
        )


def _require_registered(version: Registered) -> None:
    """Raise UserError when the store gave other bytes than those that were promoted."""
    for name, path in version.files.items():
        registered = version.tags.get(f"{name}_sha256")
        if registered and sha256(path) != registered:
            raise UserError(f"{version.address}: {path.name}: is not the file that was registered (SHA-256 "
                            f"{registered[:12]}…); promote it again", DATA_FAILED)  # fmt: skip


def size(count: int) -> str:
    """Bytes, for people."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _tell(name: str, done: "Sent") -> None:
    said = f"sent {size(done.bytes)}" if done.bytes or not done.kept else "there already"
    if done.bytes and done.kept:
        said += f" ({size(done.kept)} more were there from an earlier try)"
    print(f"s3: {name}: {said}", file=sys.stderr)
