"""Marks on the runs that a promotion makes, by which a later one sees whether it is still going on or was killed."""

import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path

COMMAND_TAG, MODEL_TAG = "understudy.command", "understudy.model"
PROMOTE, LEDGER = "promote", "ledger"  # commands
HOST_TAG, PROCESS_TAG, THREAD_TAG = "understudy.host", "understudy.process", "understudy.thread"
SINCE_TAG = "understudy.since"  # whole seconds since 1970: a run that another took over began earlier
ABANDONED_AFTER = 3600.0  # seconds; what began longer ago on another machine is not going on


def mark(command: str, model: str) -> dict[str, str]:
    """Tags of a run that this thread makes for `model`."""
    return {
        COMMAND_TAG: command,
        MODEL_TAG: model,
        HOST_TAG: _host(),
        PROCESS_TAG: _process(os.getpid()),
        THREAD_TAG: str(threading.get_ident()),
        SINCE_TAG: str(int(time.time())),
    }


def going_on(tags: Mapping[str, str], since: float) -> bool:
    """Whether another thread, process or machine may still be at work on the run that it marked.

    tags: of the run. since: when it began, in seconds since 1970, where the tags do not say when it was marked.
    """
    if tags.get(HOST_TAG) != _host():
        marked = tags.get(SINCE_TAG, "")
        return time.time() - (int(marked) if marked.isdecimal() else since) < ABANDONED_AFTER
    process = tags.get(PROCESS_TAG, "")
    if process != _process(os.getpid()):
        return process == _process(int(process.partition(" ")[0] or 0))
    others = {str(thread.ident) for thread in threading.enumerate()} - {str(threading.get_ident())}
    return tags.get(THREAD_TAG) in others


def _host() -> str:
    """The machine, this start of it, and its name space of processes.

    Two containers may share a machine; two machines a name and, made of one image, /etc/machine-id.
    """
    known = (Path(path) for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"))  # a sandbox may hide one
    started = next((path.read_text().strip() for path in known if path.is_file()), "")
    return f"{socket.gethostname()} {started} {Path('/proc/self/ns/pid').readlink()}"


def _process(number: int) -> str:
    """A process by its number and when it began, since numbers are given again; its number alone once it is gone."""
    try:
        # After the name, which may hold anything, in brackets; the 22nd field of all.
        began = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return str(number)
    return f"{number} {began}"
