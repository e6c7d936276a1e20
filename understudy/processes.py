"""One stage in several processes on one host: which of them this one is, and how they are started and watched.

They are told who they are as torchrun tells them, so that `torchrun --nproc-per-node 2 -m stages.teacher` does as well.
Different from it, with `schedule.processes` a stage starts them itself: its exit code and reason are those of its first
process or of the one that failed, and a stopped one has the time to save its state. Imports no torch.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from understudy import memory
from understudy.errors import LOST, OUT_OF_MEMORY, UNEXPECTED, UserError

STARTER = "UNDERSTUDY_STARTER"  # the process that started this one with others
POLL_SECONDS = 0.1
GRACE = 5.0  # seconds in which the others notice by themselves that one has failed
PATIENCE = 60.0  # seconds that one which was asked to end may take
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def rank() -> int:
    """The number of this process, from 0, among those that share its work."""
    return int(os.environ.get("LOCAL_RANK", 0))


def size() -> int:
    """How many processes share the work. Raises UserError when some are on other hosts."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if "LOCAL_WORLD_SIZE" in os.environ and int(os.environ.get("WORLD_SIZE", here)) != here:
        raise UserError("torchrun: several hosts are not supported; run it with --nnodes 1")
    return here


def leads() -> bool:
    """Whether this process writes for all."""
    return rank() == 0


def starter() -> int | None:
    """The id of the stage that started this process as one of several, or None."""
    return int(os.environ[STARTER]) if STARTER in os.environ else None


def start(count: int, folder: Path) -> int:
    """Run this very command in `count` processes to the end of all; the first one's exit code.

    They get the signals that this process gets. When one fails, the others are ended. What all but the first say of
    their failures goes to `folder`. Raises UserError when another than the first is to blame, or the first was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    shared = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count), STARTER: str(os.getpid()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count))),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0"),
    }  # fmt: skip
    kills = memory.kills()
    workers: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        _signal(workers, number)

    heard = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in heard}
    try:
        for index in range(count):
            own = {**os.environ, **shared, "RANK": str(index), "LOCAL_RANK": str(index)}
            workers.append(_started(own, _messages(folder, index) if index else None))
        for number in received:  # while some were not there yet
            _signal(workers, number)
        first = _watched(workers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    code, blamed = workers[0].returncode, workers[first].returncode
    # One that could not have the memory may still be looking for what fits when it is ended for another's sake.
    if code < 0 or code == LOST or (blamed == OUT_OF_MEMORY and code != OUT_OF_MEMORY):
        raise _failure(first, blamed, count, folder, memory.have_grown(kills))
    return code


def _started(environment: dict[str, str], messages: Path | None) -> "subprocess.Popen[bytes]":
    command = [sys.executable, *sys.orig_argv[1:]]
    if messages is None:
        return subprocess.Popen(command, env=environment)
    with messages.open("w") as stream:
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stream)


def _watched(workers: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait for the end of all, and see to it once one has failed. Which one failed first and not for another's sake."""
    failed: list[int] = []
    since, asked = 0.0, False
    while any(worker.poll() is None for worker in workers):
        time.sleep(POLL_SECONDS)
        for index, worker in enumerate(workers):
            if worker.poll() and index not in failed:
                since = since or time.monotonic()
                failed.append(index)
        waited = time.monotonic() - since if since else 0.0
        if waited > GRACE + PATIENCE:
            _signal(workers, signal.SIGKILL)
        elif waited > GRACE and not asked:
            _signal(workers, signal.SIGTERM)
            asked = True
    failed += [index for index, worker in enumerate(workers) if worker.returncode and index not in failed]
    return next((index for index in failed if workers[index].returncode != LOST), 0)


def _signal(workers: Sequence["subprocess.Popen[bytes]"], number: int) -> None:
    for worker in workers:
        worker.send_signal(number)  # to one that has ended: nothing


def _failure(index: int, code: int, count: int, folder: Path, short: bool) -> UserError:
    """What to tell of the process that failed. code: its exit code, negative when a signal killed it. short: whether
    the kernel has killed for memory meanwhile."""
    who = f"process {index + 1} of {count}"
    if code == -signal.SIGKILL and short:
        return UserError(f"{who}: {memory.killed(folder)}", OUT_OF_MEMORY)
    if code < 0:
        return UserError(
            f"{who} was killed by {signal.Signals(-code).name}; run it again to go on from the last checkpoint",
            UNEXPECTED,
        )
    text = _messages(folder, index).read_text(errors="replace").strip() if index else ""
    if code == UNEXPECTED:  # with a traceback
        print(text, file=sys.stderr)
    reason = text.splitlines()[-1] if text else "the processes lost each other; run it again"
    return UserError(f"{who}: {reason}", code)


def _messages(folder: Path, index: int) -> Path:
    return folder / f"process-{index + 1}.txt"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
