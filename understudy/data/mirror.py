"""A copy of remote files that knows which of them are unchanged, whatever has killed whoever was making it."""

import json
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from understudy.data.container import refusal
from understudy.errors import UserError
from understudy.files import write_text


@dataclass(frozen=True)
class Remote:
    """A file elsewhere. version: another one for other content. size: in bytes."""

    key: str
    version: str
    size: int


class Mirror:
    """Copies in `folder`/copy/NAME; `folder` also holds parts of files and the record of those that are whole.

    single: whether the copy is one file and NAME its own, or a folder. Nothing is under a file's own name but what
    `keep` has put there.
    """

    def __init__(self, folder: Path, name: str, single: bool) -> None:
        self.root = folder / "copy" / name
        self._single, self._parts, self._record = single, folder / "parts", folder / "whole.jsonl"
        self._lock = threading.Lock()
        if single and self.root.is_dir():
            shutil.rmtree(self.root)
        elif not single and self.root.is_file():
            self.root.unlink()
        self._parts.mkdir(parents=True, exist_ok=True)
        self.root.parent.mkdir(exist_ok=True)
        self._whole = self._read_record()

    def missing(self, files: Mapping[str, Remote]) -> dict[str, Remote]:
        """Those that are not here as they are elsewhere. files: by their path in the copy."""

        def is_here(path: str, remote: Remote) -> bool:
            state = self._state(path, remote)
            return state is not None and state == self._whole.get(path)

        return {path: remote for path, remote in files.items() if not is_here(path, remote)}

    def part(self, path: str, remote: Remote) -> Path:
        """Where the file's bytes are gathered: another place for another version."""
        return self._parts / sha256(f"{path}\0{remote.version}\0{remote.size}".encode()).hexdigest()[:32]

    def keep(self, path: str, remote: Remote) -> None:
        """Give a part that is whole and on the disk its own name. May be called by several threads."""
        place = self._place(path)
        with self._lock:
            place.parent.mkdir(parents=True, exist_ok=True)
            self.part(path, remote).replace(place)
            with self._record.open("a", encoding="utf-8") as record:
                # A line of its own, also behind one that a kill has left without an end.
                record.write("\n" + json.dumps({"path": path, "state": self._state(path, remote)}) + "\n")

    def prune(self, files: Mapping[str, Remote]) -> None:
        """Remove what is not among the files; to be called first, since a file may lie where a folder is wanted."""
        wanted = {self._place(path) for path in files}
        for path in sorted(self.root.rglob("*"), reverse=True):  # what is in a folder comes before the folder
            if path.is_dir():
                if path in wanted or not any(path.iterdir()):
                    path.rmdir()
            elif path not in wanted:
                path.unlink()

    def finish(self, files: Mapping[str, Remote]) -> None:
        """Remove parts of other versions, and shorten the record; to be called when none is missing any more."""
        whole = {path: self._state(path, remote) for path, remote in files.items()}
        write_text(self._record, "".join(json.dumps({"path": p, "state": s}) + "\n" for p, s in whole.items()))
        shutil.rmtree(self._parts)

    def _place(self, path: str) -> Path:
        return self.root if self._single else self.root / path

    def _state(self, path: str, remote: Remote) -> list | None:
        """What tells that the copy is that version, and that nobody wrote into it since."""
        try:
            found = self._place(path).stat()
        except OSError:
            return None
        return [remote.version, remote.size, found.st_mtime_ns] if found.st_size == remote.size else None

    def _read_record(self) -> dict[str, list | None]:
        """By path. A line that a kill cut short is as if it were not there: the file is fetched again."""
        found: dict[str, list | None] = {}
        for line in self._record.read_text(encoding="utf-8").splitlines() if self._record.exists() else ():
            try:
                entry = json.loads(line)
                found[entry["path"]] = entry["state"]
            except (ValueError, TypeError, KeyError):
                continue
        return found


def placed(files: Iterable[Remote], prefix: str, where: str) -> dict[str, Remote]:
    """The files by their path in a copy: the key without `prefix`.

    where: the source, for messages. Raises UserError that lists every key that is no path within a folder, or that
    would have to be file and folder.
    """
    found = {remote.key.removeprefix(prefix): remote for remote in files}
    folders = {parent.as_posix() for path in found for parent in PurePosixPath(path).parents}
    problems = []
    for path in found:
        if reason := refusal(path, link=False):
            problems.append(f"{prefix}{path}: {reason}")
        elif PurePosixPath(path).as_posix() != path or "\0" in path:
            problems.append(f"{prefix}{path}: is no file's path")
        elif path in folders:
            problems.append(f"{prefix}{path}: is a file and a folder")
    if problems:
        count = f"{len(problems)} key{'s' if len(problems) > 1 else ''} that cannot be files here, nothing was fetched"
        raise UserError("\n  ".join([f"{where}: {count}", *problems]))
    return found
