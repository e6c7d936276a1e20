"""DVC: which stages `dvc repro` would run on a checkout, and which outputs its remote lacks. No data need be here.

`dvc repro --dry --allow-missing` tells the same by its exit code, but ends at the first stale stage with the name of a
file that is missing, and of a stage's parameters names the section alone. `dvc status --json` tells every stage; here
it is freed of what is only missing, and completed by what only a comparison within dvc.lock shows.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from understudy.adapters.dvc import is_code
from understudy.errors import DATA_FAILED, UserError, in_one_line
from understudy.git import git
from understudy.graph import STAGES
from understudy.params.leaves import differences
from understudy.report.gather import Run
from understudy.report.parameters import LOCK, PARAMS, read_yaml, shown

MISSING = ("deleted", "not in cache")  # of what DVC stores, which a fresh clone does not have
Lock = Mapping[str, Any]


def stale(root: Path) -> dict[str, list[str]]:
    """The stages that would run, and why, in the order of the graph. What depends on them alone is not among them.

    Raises UserError with code DATA_FAILED when DVC cannot tell.
    """
    run = Run(root)
    lock = read_yaml(run, LOCK).get("stages", {}) if (root / LOCK).exists() else {}
    now = read_yaml(run, PARAMS) if (root / PARAMS).exists() else {}
    found: dict[str, list[str]] = {}
    for stage, entries in json.loads(_dvc(root, "status", "--json")).items():
        for entry in entries:
            found.setdefault(stage, []).extend(_reasons(entry, lock.get(stage, {}), now))
    for stage, reason in _other_files(lock, _kept(root)):
        if reason not in found.setdefault(stage, []):
            found[stage].append(reason)
    order = [*STAGES, *found]
    return {stage: found[stage] for stage in sorted(found, key=order.index) if found[stage]}


class Staleness:
    """Why stages of a branch that is worked on at `root` are stale, asked in the order of the graph and before each is
    run; DVC, which takes seconds, is asked as seldom as that allows.

    A stage that was stale is so until it is run: what it is compared with is written then. One that was fresh may be
    stale at the next commit, when a stage before it has made something else. (Of two runs whose locks were merged, an
    earlier stage may bring back what a stale one was run on; then DVC finds nothing to do once that one is started.)
    """

    def __init__(self, root: Path) -> None:
        self._root, self._known, self._commit = root, dict[str, list[str]](), ""

    def reasons(self, stage: str) -> list[str]:
        """Empty when the stage is fresh. Raises UserError as `stale` does."""
        commit = git(self._root, "rev-parse", "HEAD")
        if stage not in self._known and commit != self._commit:
            self._known, self._commit = stale(self._root), commit
        return self._known.get(stage, [])


def _reasons(entry: Any, locked: Lock, now: Mapping[str, Any]) -> Iterator[str]:
    """What one entry of `dvc status --json` says: a word, or kinds of changes by path."""
    if not isinstance(entry, dict):
        yield str(entry)
        return
    for what, changes in entry.items():
        for path, state in changes.items():
            if isinstance(state, dict):
                yield from _parameters(path, state, locked, now)
            elif state not in MISSING or "://" in path:  # of an address it means that nothing is there
                yield f"{path}: {state}" if what == "changed deps" else f"{path}: not the file that was made"
            elif is_code(path):
                yield f"{path}: {state}"


def _parameters(path: str, sections: Mapping[str, str], locked: Lock, now: Mapping[str, Any]) -> Iterator[str]:
    """The parameters of a stage that are no longer those that it was run with."""
    then = locked.get("params", {}).get(path, {})
    for section, state in sections.items():
        changes = differences({section: then[section]}, {section: now[section]}) if (
            path == PARAMS and section in then and section in now
        ) else []  # fmt: skip
        for change in changes:
            yield f"{change.key}: {shown(change.after)}, was {shown(change.before)}"
        if not changes:
            yield f"{path}: {section} is {state}"


def _other_files(lock: Lock, kept: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Stages that were run on another file than the project has now: of two runs that were merged line by line, or of
    data that `dvc add`, `dvc import` or `dvc update` has made anew since. kept: by path, its MD5 and what keeps it."""
    made = {out["path"]: (out.get("md5"), f"in {LOCK} not the one that {stage} made")
            for stage, entry in lock.items() for out in entry.get("outs", ())}  # fmt: skip
    has = made | {path: (digest, f"not the one that {pointer} names") for path, (digest, pointer) in kept.items()}
    for stage, entry in lock.items():
        for dependency in entry.get("deps", ()):
            digest, what = has.get(dependency["path"], (None, ""))
            if digest is not None and digest != dependency.get("md5"):
                yield stage, f"{dependency['path']}: {what}"


def _kept(root: Path) -> dict[str, tuple[str, str]]:
    """What the .dvc files that git has name, by path from `root`: its MD5 and the .dvc file."""
    found = {}
    for pointer in git(root, "ls-files", "--", "*.dvc").splitlines():
        for out in read_yaml(Run(root), pointer).get("outs", ()):
            found[(Path(pointer).parent / out["path"]).as_posix()] = (out.get("md5", ""), pointer)
    return found


def not_on_remote(root: Path) -> list[str]:
    """The outputs, file by file, that dvc.lock names and the default remote does not have.

    Raises UserError with code DATA_FAILED when there is no remote or it does not answer.
    """
    status = json.loads(_dvc(root, "data", "status", "--not-in-remote", "--granular", "--json"))
    missing = sorted(status.get("not_in_remote", []))
    # Without a remote everything is missing.
    if missing and not _dvc(root, "config", "core.remote", may_fail=True).strip():
        raise UserError("there is no DVC remote (.dvc/config), so nobody else can have what the stages made; "
                        "`dvc remote add -d NAME ADDRESS` and `dvc push`", DATA_FAILED)  # fmt: skip
    return missing


def _dvc(root: Path, *arguments: str, may_fail: bool = False) -> str:
    """What DVC prints."""
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True,
                          check=False)  # fmt: skip
    if done.returncode and not may_fail:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        said = " ".join(errors).removeprefix("ERROR: ") or done.stderr
        raise UserError(f"`dvc {' '.join(arguments)}`: {in_one_line(Exception(said))}", DATA_FAILED)
    return done.stdout
