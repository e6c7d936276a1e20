"""A memory control group of a test's own, in either of the kernel's versions, where it lets this user make one."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from understudy import memory


@contextlib.contextmanager
def limited(most: int) -> Iterator[Callable[[], None]]:
    """What a child process is to call before it becomes another program; it may have `most` bytes from then on."""
    folder = next(_made(), None)
    if folder is None:
        pytest.skip("needs the right to make a control group of memory")
    name = "memory.max" if (folder / "memory.max").exists() else "memory.limit_in_bytes"
    (folder / name).write_text(str(most))
    try:
        yield lambda: print(os.getpid(), file=(folder / "cgroup.procs").open("w"), flush=True)
    finally:
        _removed(folder)


def _removed(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:  # its last process is going
        with contextlib.suppress(OSError):
            folder.rmdir()
        time.sleep(0.05)


def _made() -> Iterator[Path]:
    for top in (memory.GROUPS, memory.GROUPS / "memory"):
        folder = top / f"understudy-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            folder.mkdir()
            if (folder / "memory.max").exists() or (folder / "memory.limit_in_bytes").exists():
                yield folder
            folder.rmdir()
