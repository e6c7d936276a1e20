"""A bundle on S3 -> a folder here, every file of which has the checksum that it was published with; or no folder.

What has arrived waits beside the folder, in `.NAME.part`, until all of it is there and right: a killed fetch goes on.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy import bundle, checksums, locks
from understudy.adapters.s3 import NEEDS, bring
from understudy.adapters.s3_client import connect, explained, listed, read_small, split
from understudy.data.mirror import Mirror, Remote
from understudy.errors import DATA_FAILED, UserError
from understudy.files import write_text

SHOWN = 8  # reasons against a folder that is there: it may be anybody's


@dataclass(frozen=True)
class Fetched:
    """address: of the version. files: how many. new: whether they were fetched now. notes: what there is to say."""

    address: str
    files: int
    new: bool
    notes: tuple[str, ...]


def fetch(source: str, output: Path) -> Fetched:
    """Fetch s3://BUCKET/PREFIX/NAME/VERSION, or the newest version of s3://BUCKET/PREFIX/NAME, as folder `output`.

    A folder that holds this very bundle stays as it is. Raises UserError, with code DATA_FAILED when the bundle is not
    what was published: then there is no folder.
    """
    bucket, prefix = split(source)
    output = output.absolute()  # `.` has a name, too
    with explained(source, NEEDS):
        client = connect(source)
        prefix, notes = _version(client, bucket, prefix, source)
        digests = _sums(client, bucket, prefix)
        new = not _is_here(output, digests)
        if new:
            files = _objects(client, bucket, prefix, digests)
            waiting = output.parent / f".{output.name}.part"
            try:
                with locks.held(waiting / "lock"):
                    new = not _is_here(output, digests)  # another fetch may have made it meanwhile
                    if new:
                        _gathered(client, bucket, files, digests, waiting).replace(output)
                    shutil.rmtree(waiting)
            except OSError as error:
                raise UserError(f"{output}: cannot be written: {error}") from error
    return Fetched(f"s3://{bucket}/{prefix}".rstrip("/"), len(digests), new, notes)


def _version(client: Any, bucket: str, prefix: str, source: str) -> tuple[str, tuple[str, ...]]:
    """The prefix, with a slash at its end, of the bundle itself or of the newest below it; and what was passed over."""
    below = f"{prefix}/" if prefix else ""
    names, folders = set(), []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below, Delimiter="/"):
        names |= {entry["Key"].removeprefix(below) for entry in page.get("Contents", [])}
        folders += [entry["Prefix"].removeprefix(below).rstrip("/") for entry in page.get("CommonPrefixes", [])]
    if checksums.NAME in names:
        return below, ()
    if bundle.BEGUN in names:
        raise UserError(f"{source}: was begun and is not whole: publish it again, and it goes on", DATA_FAILED)
    passed: list[str] = []
    for version in sorted((name for name in folders if name.isdecimal()), key=int, reverse=True):
        if read_small(client, bucket, f"{below}{version}/{checksums.NAME}", most=1) is not None:
            return f"{below}{version}/", tuple(f"version {other} is not whole, and was passed over" for other in passed)
        passed.append(version)
    others = f"; below it are {', '.join(sorted(folders)[:8])}" if folders else ""
    raise UserError(f"{source}: no bundle is published there (no {checksums.NAME}){others}")


def _sums(client: Any, bucket: str, prefix: str) -> dict[str, str]:
    where = f"s3://{bucket}/{prefix}{checksums.NAME}"
    content = read_small(client, bucket, prefix + checksums.NAME)
    if content is None:
        raise UserError(f"{where}: was removed meanwhile; run it again")
    return bundle.read_sums(content, where)


def _is_here(output: Path, digests: Mapping[str, str]) -> bool:
    """Whether the folder holds this bundle. Raises UserError when it holds, or is, anything else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    wrong = checksums.wrong(output, digests) if output.is_dir() else {output.name: "is a file"}
    if wrong:
        reasons = [f"{name}: {fault}" for name, fault in wrong.items()]
        reasons[SHOWN:] = [f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
        raise UserError("\n  ".join([f"{output}: is there, is not this bundle and is not overwritten:", *reasons]))
    return True


def _gathered(client: Any, bucket: str, files: dict[str, Remote], digests: Mapping[str, str], waiting: Path) -> Path:
    """A folder below `waiting` that holds the bundle, all of it right. Raises UserError naming what is not."""
    mirror = Mirror(waiting, "bundle", single=False)
    mirror.root.mkdir(exist_ok=True)
    mirror.prune(files)
    bring(client, bucket, files, mirror, f"s3://{bucket}")
    if wrong := checksums.wrong(mirror.root, digests):
        for name in wrong:
            (mirror.root / name).unlink()  # to be fetched anew by the next try
        raise _not_as_published([f"s3://{bucket}/{files[name].key}: {fault}" for name, fault in wrong.items()])
    write_text(mirror.root / checksums.NAME, checksums.text(digests))
    return mirror.root


def _objects(client: Any, bucket: str, prefix: str, digests: Mapping[str, str]) -> dict[str, Remote]:
    """The bundle's objects by name. Raises UserError naming those that are missing, or there and not of it."""
    found = {remote.key.removeprefix(prefix): remote for remote in listed(client, bucket, prefix)}
    wrong = [f"{name}: is gone" for name in digests if name not in found]
    wrong += [f"{name}: was added" for name in found if name not in (*digests, checksums.NAME, bundle.BEGUN)]
    if wrong:
        raise _not_as_published([f"s3://{bucket}/{prefix}{fault}" for fault in wrong])
    return {name: found[name] for name in digests}


def _not_as_published(faults: list[str]) -> UserError:
    return UserError("\n  ".join(["not what was published, so no folder was made:", *faults]), DATA_FAILED)
