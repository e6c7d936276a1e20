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

from understudy import bundle, checksums
from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.registry import CHAMPION, Registered, changed_files, download, registry
from understudy.adapters.s3_client import connect, explained, read_small, split
from understudy.errors import GATE_FAILED, UserError
from understudy.founded import Judged
from understudy.ledger import Entry, Ledger

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

    Raises UserError, with code GATE_FAILED for a version that was never promoted or was rolled back from, and when the
    store's files are not those that were promoted.
    """
    split(target)  # before anything is downloaded
    with tempfile.TemporaryDirectory() as folder:
        version = download(root, model, Path(folder))
        _require_founded(root, version, model)
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
            path = Path(folder) / checksums.NAME
            path.write_text(checksums.text(digests))
            s3_upload.send(client, bucket, f"{prefix}/{checksums.NAME}", s3_upload.Local.read(path))
    return Published(address, len(local), sent, kept, notes)


def _claim(client: Any, bucket: str, folder: str, digests: Mapping[str, str]) -> bool:
    """Make the version ours, or find that it is; whether the server guards that. Raises UserError when it is another's.

    A server that heeds If-None-Match refuses to write BEGUN a second time; one that does not writes the same again.
    """
    from understudy.adapters.s3_upload import put_new

    text = checksums.text(digests).encode()
    if read_small(client, bucket, folder + bundle.BEGUN) is None:
        put_new(client, bucket, folder + bundle.BEGUN, text)
    _require_own(client, bucket, folder, digests)
    guarded = not put_new(client, bucket, folder + bundle.BEGUN, text)
    _require_own(client, bucket, folder, digests)
    return guarded


def _require_own(client: Any, bucket: str, folder: str, digests: Mapping[str, str]) -> None:
    """Raise UserError when the version is another bundle's: what is different, and that nothing was overwritten."""
    found = read_small(client, bucket, folder + bundle.BEGUN)
    if found == checksums.text(digests).encode():
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


def _require_founded(root: Path, version: Registered, address: str) -> None:
    """Raise UserError unless the version met its gate, was not rolled back from, and has the files of then."""
    with registry(root) as store:
        ledgers = LedgerStore.open(store, version.model)
        ledger = ledgers.trusted()
        entry = _require_promoted(version, address, ledger)
        _require_unchanged(version, entry)
        if doubts := ledgers.doubts(ledger, entry, Judged.read(version.files["verdict"])):
            raise UserError("\n  ".join([f"{version.model} version {version.version}: nothing shows that it met its "
                                         "gate:", *doubts]), GATE_FAILED)  # fmt: skip


def _require_promoted(version: Registered, address: str, ledger: Ledger) -> Entry:
    """The entry by which a version met its gate. Raises UserError when none says so, or it was rolled back from."""
    number, subject = version.version, f"{address}: {version.model} version {version.version}"
    if address.endswith(f"@{CHAMPION}") and number != ledger.champion:
        raise UserError(
            f"{address}: the alias points to version {number}, the ledger says {ledger.champion}; `understudy registry "
            "verify` tells more, and the next promotion or rollback sets it right", GATE_FAILED,
        )  # fmt: skip
    entry = ledger.promoted(number)
    if entry is None:
        raise UserError(f"{subject} was never promoted, and only what met its bar is published; `understudy registry "
                        "promote`", GATE_FAILED)  # fmt: skip
    if (back := ledger.withdrawn(number)) is not None:
        why = f" ({back.reason})" if back.reason else ""
        raise UserError(f"{subject} was rolled back from{why}, and is not published", GATE_FAILED)
    return entry


def _require_unchanged(version: Registered, entry: Entry) -> None:
    """Raise UserError when the store gave other bytes than those that were promoted."""
    if wrong := changed_files(version, entry.manifest_sha256):
        raise UserError("\n  ".join([f"{version.model} version {version.version}: its files are not those that were "
                                     "promoted:", *wrong]), GATE_FAILED)  # fmt: skip


def size(count: int) -> str:
    """Bytes, for people."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _tell(name: str, done: "Sent") -> None:
    said = f"sent {size(done.bytes)}" if done.bytes or not done.kept else "there already"
    if done.bytes and done.kept:
        said += f" ({size(done.kept)} more were there from an earlier try)"
    print(f"s3: {name}: {said}", file=sys.stderr)
