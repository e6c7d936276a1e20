"""S3 -> a copy here: `python -m understudy.adapters.s3 s3://BUCKET[/PREFIX or KEY] FOLDER`.

Prints the copy's path, or the reason why there is none, and tells its progress on stderr. It takes the permissions
s3:ListBucket and s3:GetObject.
"""

import argparse
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from understudy import locks
from understudy.adapters.s3_client import WORKERS, connect, explained, listed
from understudy.data.mirror import Mirror, Remote, placed
from understudy.errors import OK, UserError
from understudy.orphans import end_with_parent

if TYPE_CHECKING:
    from understudy.adapters.s3_object import Received

NEEDS = "s3:ListBucket on the bucket and s3:GetObject on its objects"
REPORT_EVERY = 2.0  # seconds


def fetch(source: str, folder: Path) -> Path:
    """Bring the copy of `source` below `folder` up to date and return its path: a file, or a folder.

    What is here already and unchanged is not fetched again; what a kill left half-fetched is gone on with. Raises
    UserError of one line that says what to mend; then every file that has its own name is whole all the same.
    """
    where = f"prepare.source: {source}"
    bucket, _, key = source.removeprefix("s3://").partition("/")
    name = key.rstrip("/").rpartition("/")[2] or bucket
    if not bucket or name in (".", ".."):
        raise UserError(f"{where}: expected s3://BUCKET/PREFIX or s3://BUCKET/KEY")
    place = folder / sha256(source.rstrip("/").encode()).hexdigest()[:16]
    with explained(where, NEEDS), locks.held(place / "lock"):  # a dry run beside the stage
        try:
            client = connect(where)
            single = bool(key) and _first(client, bucket, key) == key and not key.endswith("/")
            prefix = key.rpartition("/")[0] if single else key.rstrip("/")
            prefix += "/" if prefix else ""
            found = listed(client, bucket, key if single else prefix)
            files = placed([remote for remote in found if not single or remote.key == key], prefix, where)
            if not files:
                raise UserError(f"{where}: no such object, and none below it")
            mirror = Mirror(place, name, single)
            mirror.prune(files)
            bring(client, bucket, files, mirror, where)
            mirror.finish(files)
        except OSError as error:
            raise UserError(f"{where}: its copy cannot be written: {error}") from error
    return mirror.root


def _first(client: Any, bucket: str, start: str) -> str | None:
    """The first key that begins so: where an object of that very name exists, that is it."""
    found = client.list_objects_v2(Bucket=bucket, Prefix=start, MaxKeys=1).get("Contents", [])
    return found[0]["Key"] if found else None


def _here(part: Path) -> int:
    """Bytes of an object that an earlier run has fetched already."""
    return part.stat().st_size if part.exists() else 0


def bring(client: Any, bucket: str, files: dict[str, Remote], mirror: Mirror, where: str) -> None:
    """Fetch what the mirror misses, several objects at a time; the first that fails stops the others."""
    from understudy.adapters.s3_object import receive

    missing = mirror.missing(files)
    size = sum(remote.size - _here(mirror.part(path, remote)) for path, remote in missing.items())
    if size > (free := shutil.disk_usage(mirror.root.parent).free):
        raise UserError(f"{where}: {size / 1e6:,.0f} MB to fetch, {free / 1e6:,.0f} MB free here")
    stop, progress = Event(), _Progress(len(files), len(missing), size)

    def one(path: str, remote: Remote) -> None:
        if stop.is_set():
            raise InterruptedError
        try:
            progress.add(receive(client, bucket, remote, mirror.part(path, remote), stop))
            mirror.keep(path, remote)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(WORKERS) as pool:
        tasks = [pool.submit(one, path, remote) for path, remote in missing.items()]
        failures = [error for task in tasks if (error := task.exception())]
    if failures:  # those that were stopped say so; the one that stopped them says why
        raise next((error for error in failures if not isinstance(error, InterruptedError)), failures[0])
    progress.done()


class _Progress:
    """Tells every few seconds, on stderr, how much is here."""

    def __init__(self, files: int, missing: int, size: int) -> None:
        self._here, self._files, self._size = files - missing, files, size
        self._bytes = self._resumed = 0
        self._last = time.monotonic()
        if missing:
            print(f"s3: {missing} of {files} objects to fetch, {size / 1e6:,.1f} MB", file=sys.stderr)

    def add(self, received: "Received") -> None:
        self._here += 1
        self._bytes += received.bytes
        self._resumed += received.resumed
        if time.monotonic() - self._last > REPORT_EVERY:
            self._last = time.monotonic()
            self._print()

    def done(self) -> None:
        if self._size:
            self._print()
        else:
            print(f"s3: {self._files} objects, all here and unchanged", file=sys.stderr)

    def _print(self) -> None:
        kept = f" ({self._resumed / 1e6:,.1f} MB more were here from an earlier try)" if self._resumed else ""
        print(f"s3: {self._here}/{self._files} objects, fetched {self._bytes / 1e6:,.1f} MB{kept}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m understudy.adapters.s3", description=__doc__)
    parser.add_argument("source", help="s3://BUCKET, s3://BUCKET/PREFIX or s3://BUCKET/KEY")
    parser.add_argument("folder", type=Path, help="holds copies of sources")
    parser.add_argument("--follow-pid", type=int, help="end when this process, the parent, does")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the stage, which gets it too, says what happened
    if arguments.follow_pid is not None:
        end_with_parent(arguments.follow_pid)
    try:
        print(fetch(arguments.source, arguments.folder))
    except UserError as error:
        print(error)
        return error.code
    return OK


if __name__ == "__main__":
    sys.exit(main())
