"""What a stage does when whoever started it is gone: it ends, saved, and does not trip over output that nobody reads.

Killing DVC alone must not leave a stage behind that goes on writing.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def end_with_parent(parent: int | None = None) -> None:
    """Have this process get SIGTERM when its parent dies, or at once when it is dead already.

    parent: its process id, where it is known. Where it is not, the parent must have started this process in its own
    process group, as DVC does: that tells whether it still is the parent. There a shell may stand between the two and
    outlive DVC (Debian's sh does not hand its process over), so that every ancestor within the group is watched.

    Linux alone knows this; elsewhere a stage's lock is what keeps a second writer out.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    now = os.getppid()
    if now != parent if parent is not None else os.getpgid(now) != os.getpgrp():  # it died while this one was starting
        os.kill(os.getpid(), signal.SIGTERM)
    elif parent is None:
        watched = [os.pidfd_open(pid) for pid in _ancestors_in_group()]
        threading.Thread(target=_end_with_any, args=(watched,), daemon=True).start()


def _ancestors_in_group() -> list[int]:
    """The process ids of parent, grandparent and so on, as far as they belong to this process's group."""
    found: list[int] = []
    pid = os.getppid()
    while pid > 1 and os.getpgid(pid) == os.getpgrp():
        found.append(pid)
        # The name before it stands in brackets and may hold anything: state, parent, ...
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _end_with_any(processes: list[int]) -> None:
    """Wait until one of the processes, by file descriptors, is dead."""
    select.select(processes, [], [])
    os.kill(os.getpid(), signal.SIGTERM)


class Unread:
    """A text stream whose reader may leave (a closed terminal, a dead parent's pipe): what it misses is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
