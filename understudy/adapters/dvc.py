"""DVC: running the graph, and keeping its lists of code true.

DVC does not follow imports, and a directory as a dependency changes whenever `__pycache__` does, so dvc.yaml lists the
very files that each stage imports. `python -m understudy.adapters.dvc` (`make deps`) rewrites those lists, and a test
compares them.
"""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from ruamel.yaml import YAML

from understudy import child, memory
from understudy.errors import OUT_OF_MEMORY, UNEXPECTED, UserError
from understudy.files import atomic, read_json, write_json
from understudy.imports import closure

KILLED = 137  # what shells report of a process that SIGKILL ended
LINES = 40  # of what DVC says last, in which a failure is looked for


def repro(
    root: Path,
    *arguments: str,
    said: Callable[[str], None] | None = None,
    unwanted: Callable[[], bool] | None = None,
) -> None:
    """`dvc repro ARGUMENTS` in `root`, as understudy.child.run runs a command.

    Raises UserError with the code and the reason of the stage that failed: DVC hides both behind its own exit code.
    Where the stage left none, the code is KILLED when something killed it outright, UNEXPECTED when DVC itself failed.
    Of a stage that the kernel killed for memory they are written here, with the advice that it left.
    """
    status = root / ".understudy" / "status"
    for left, failed, _ in _statuses(status):
        if failed:  # an old failure must not be taken for this run's; of a stage that is skipped, `done` stays true
            left.unlink()
    lines: deque[str] = deque(maxlen=LINES)

    def hear(line: str) -> None:
        lines.append(line)
        if said is not None:
            said(line)

    kills, began = memory.kills(), time.time()
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    if code := child.run(command, root, environment(), None if said is None else hear, unwanted):
        if memory.have_grown(kills):
            _tell_of_the_killed(status, began)
        raise _failure(status, code, lines)


def environment() -> dict[str, str]:
    """Of DVC: the stages' `python` must be the one that runs this, whether or not its environment is activated."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}


def _failure(status: Path, code: int, lines: Iterable[str]) -> UserError:
    """What to tell the user when `dvc repro` ended with `code`: the failed stage's own words, where it left some."""
    for path, failed, reason in _statuses(status):
        if failed:
            return UserError(f"stage {path.stem} failed with code {failed}: {reason}", failed)
    said = "\n".join(lines)
    if re.search(r"exited with (-9|137)\b", said):  # of a stage that a shell ran, and of one that none did
        return UserError("the stage was killed outright (SIGKILL)", KILLED)
    errors = " ".join(line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: "))
    return UserError(f"`dvc repro` failed with code {code}: {errors or 'its message is above'}", UNEXPECTED)


def _tell_of_the_killed(status: Path, began: float) -> None:
    """Write the status of the stage that has worked since `began` (seconds since the epoch) and could not say how it
    ended, if there is one: the kernel has killed somebody for memory."""
    for lock in status.parent.glob(f"*/{memory.LOCK}"):
        path, taken = status / f"{lock.parent.name}.json", lock.stat().st_mtime
        if taken >= began and not (path.exists() and path.stat().st_mtime >= taken):
            write_json(path, {"stage": path.stem, "code": OUT_OF_MEMORY, "reason": memory.killed(lock.parent)})


def _statuses(folder: Path) -> list[tuple[Path, int, str]]:
    """File, code and reason of every stage's status; no temporary file that a killed writer left."""
    found = [(path, read_json(path)) for path in sorted(folder.glob("[!.]*.json"))]
    return [(path, left["code"], left["reason"]) for path, left in found]


def write_dependencies(root: Path) -> list[str]:
    """Make the code that each stage of dvc.yaml depends on equal what its module imports. Returns the changed."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = root / "dvc.yaml"
    document = yaml.load(path)
    changed = []
    for name, stage in document["stages"].items():
        code = closure(stage_module(stage["cmd"]), root)
        data = [entry for entry in stage["deps"] if not is_code(entry)]
        if list(stage["deps"]) != code + data:
            stage["deps"][:] = code + data
            changed.append(name)
    if changed:
        with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            yaml.dump(document, stream)
    return changed


def stage_module(command: str) -> str:
    """The module that a stage's command runs. Raises UserError for a command of another form."""
    if match := re.fullmatch(r"python -m (stages\.\w+)", command):
        return match[1]
    raise UserError(f"dvc.yaml: a stage's cmd is `python -m stages.NAME`, found {command!r}")


def is_code(dependency: str) -> bool:
    """Whether an entry of `deps:` is a file of this repository's code, not data."""
    return dependency.endswith(".py")


if __name__ == "__main__":
    for name in write_dependencies(Path()):
        print(f"dvc.yaml: rewrote the code that {name} depends on")
