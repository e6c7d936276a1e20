"""A command in a process group of its own, to which this process hands on what it is told to do."""

import contextlib
import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from understudy.orphans import end_with_parent

POLL_SECONDS = 0.1
WATCH_SECONDS = 2.0  # between two calls of `unwanted`
FORWARDED = (signal.SIGINT, signal.SIGTERM)

# The signals that told this process to end while a command ran: the command was given them, and whoever started it
# must not start another.
received: list[int] = []


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    said: Callable[[str], None] | None = None,
    unwanted: Callable[[], bool] | None = None,
) -> int:
    """Run a command in `folder` to the end of its whole group; its exit code, negative when a signal ended it.

    The group gets every SIGINT and SIGTERM that this process gets, and SIGTERM when this process is killed outright.
    (On Linux that happens when the calling thread ends: call this from one that lives as long as the run should.)
    said: called with each line of output, in another thread; by default the output is this process's own.
    unwanted: asked every few seconds; when it says so the group gets SIGTERM.
    """
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"} if said else {}
    process = subprocess.Popen(
        command, cwd=folder, env=None if environment is None else dict(environment), start_new_session=True,
        preexec_fn=functools.partial(end_with_parent, os.getpid()), **piped,  # type: ignore[call-overload]
    )  # fmt: skip

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        _signal(process.pid, number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    reader = threading.Thread(target=_read, args=(process, said), daemon=True)
    reader.start()
    try:
        _wait(process, unwanted)
    except BaseException:
        _signal(process.pid, signal.SIGTERM)
        _wait(process, None)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    reader.join(5)  # what outlives the group, a tracker, may keep the pipe open
    return int(process.returncode)


def _wait(process: "subprocess.Popen[str]", unwanted: Callable[[], bool] | None) -> None:
    """Return when the group has ended."""
    asked = time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        if unwanted is not None and time.monotonic() - asked > WATCH_SECONDS:
            if unwanted():
                _signal(process.pid, signal.SIGTERM)
                unwanted = None
            asked = time.monotonic()
    if process.returncode < 0:  # a signal ends DVC at once, while its stage still saves its state and writes why
        _wait_for_group(process.pid)


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
        time.sleep(POLL_SECONDS)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(group, number)


def _read(process: "subprocess.Popen[str]", said: Callable[[str], None] | None) -> None:
    if process.stdout is not None and said is not None:
        for line in process.stdout:
            if text := line.rstrip():
                said(text)
