"""Locks between processes: files held with flock. The system lets go of a lock when its holder dies, in any way."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from understudy.errors import UserError

POLL_SECONDS = 0.2  # between two attempts at a lock that another process holds


@contextmanager
def held(path: Path, wait: float = float("inf")) -> Iterator[bool]:
    """Hold the lock at `path` within the block; whether it could be had within `wait` seconds.

    The file is made if need be, names the holder's process, and stays: removing it would let two hold "it" at once.
    Raises UserError, naming it, when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error}") from error
    with stream:
        mine = _taken(stream, time.monotonic() + wait)
        if mine:
            try:
                stream.truncate(0)
                stream.write(str(os.getpid()))
                stream.flush()
            except OSError as error:
                raise UserError(f"{path}: cannot be written: {error}; free some space and run it again") from error
        yield mine


def _taken(stream: TextIO, deadline: float) -> bool:
    """Whether the lock on an open file could be had before `deadline`, on the monotonic clock."""
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def holder(path: Path) -> int | None:
    """The id of the process that holds the lock at `path`, or None when nobody does."""
    try:
        with path.open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = stream.read()
                return int(text) if text else None  # taken just now, the name still to be written
    except FileNotFoundError:
        pass
    return None
