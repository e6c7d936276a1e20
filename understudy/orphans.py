"""What a stage does when whoever started it is gone: it ends, saved, and does not trip over output that nobody reads.

Killing DVC alone must not leave a stage behind that goes on writing.
"""

import contextlib
import ctypes
import os
import signal
import sys
from typing import Any, TextIO

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def end_with_parent(parent: int | None = None) -> None:
    """Have the system send this process SIGTERM when its parent dies, or at once when it is dead already.

    parent: its process id, where it is known. Where it is not, the parent must have started this process in its own
    process group, as DVC does: that tells whether it still is the parent.

    Linux alone knows this signal, and a shell that stays between DVC and the stage (fish; others hand their process
    over) hides DVC's death: then a stage's lock is what keeps a second writer out.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    now = os.getppid()
    if now != parent if parent is not None else os.getpgid(now) != os.getpgrp():  # it died while this one was starting
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
