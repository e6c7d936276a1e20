"""DVC: running the graph, and keeping its lists of code true.

DVC does not follow imports, and a directory as a dependency changes whenever `__pycache__` does, so dvc.yaml lists the
very files that each stage imports. `python -m understudy.adapters.dvc` (`make deps`) rewrites those lists, and a test
compares them.
"""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from ruamel.yaml import YAML

from understudy import memory
from understudy.errors import OUT_OF_MEMORY, UNEXPECTED, UserError
from understudy.files import atomic, read_json, write_json
from understudy.imports import closure
from understudy.orphans import end_with_parent

DATA = "artifacts/"


def repro(root: Path, targets: Iterable[str] = ()) -> None:
    """`dvc repro` in `root`, in a process group of its own, which gets every SIGINT and SIGTERM that this process gets.

    When this process is killed outright, the system ends DVC, and with it the stage. (On Linux that happens when the
    calling thread ends: call this from one that lives as long as the run should.)
    Raises UserError with the code and the reason of the stage that failed: DVC hides both behind its own exit code.
    Of a stage that the kernel killed for memory they are written here, with the advice that it left.
    """
    status = root / ".understudy" / "status"
    for left, failed, _ in _statuses(status):
        if failed:  # an old failure must not be taken for this run's; of a stage that is skipped, `done` stays true
            left.unlink()
    kills, began = memory.kills(), time.time()
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    # The stages' `python` must be the one that runs this, whether or not its environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    end = functools.partial(end_with_parent, os.getpid())
    process = subprocess.Popen(
        command, cwd=root, env={**os.environ, "PATH": path}, start_new_session=True, preexec_fn=end
    )

    def forward(number: int, _: FrameType | None) -> None:
        os.killpg(process.pid, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
        if code < 0:  # DVC dies of a signal at once, while its stage still saves its state and writes why it stopped
            _wait_for_group(process.pid)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code:
        if memory.have_grown(kills):
            _tell_of_the_killed(status, began)
        raise _failure(status, code)


def _wait_for_group(group: int) -> None:
    """Return when the last process of a group has ended."""
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        # The stage has lost its parent. In a container that may make it this process's own child, to be buried here.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-group, os.WNOHANG)
        time.sleep(0.1)


def _failure(status: Path, code: int) -> UserError:
    """What to tell the user when `dvc repro` ended with `code`: the failed stage's own words, where it left some."""
    for path, failed, reason in _statuses(status):
        if failed:
            return UserError(f"stage {path.stem} failed with code {failed}: {reason}", failed)
    return UserError(f"`dvc repro` failed with code {code}; its message is above", UNEXPECTED)


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
