"""One stage in several processes: which of them this one is, and how those of a host are started and watched.

They are told who they are as torchrun tells them, so that `torchrun --nproc-per-node 2 -m stages.teacher` does as well.
Different from it, with `schedule.processes` a stage starts them itself: its exit code and reason are those of its first
process or of the one that failed, on whichever host (hosts.py), and a stopped one has the time to save its state.
Imports no torch.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from understudy import hosts, memory
from understudy.errors import LOST, OK, OUT_OF_MEMORY, PREEMPTED, UNEXPECTED, UserError
from understudy.hosts import Gone, Link

STARTER = "UNDERSTUDY_STARTER"  # the process that started this one with others
POLL_SECONDS = 0.1
GRACE = 5.0  # seconds in which the others notice by themselves that one has failed
PATIENCE = 60.0  # seconds that one which was asked to end may take
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def rank() -> int:
    """The number of this process, from 0, among those that share its work on all hosts."""
    return _told("RANK", 0)


def size() -> int:
    """How many processes share the work, on all hosts."""
    return _told("WORLD_SIZE", 1)


def local_rank() -> int:
    """The number of this process, from 0, among those of its host."""
    return _told("LOCAL_RANK", 0)


def local_size() -> int:
    """How many processes share the work on this host."""
    return _told("LOCAL_WORLD_SIZE", 1)


def _told(name: str, alone: int) -> int:
    # RANK and WORLD_SIZE by themselves may be meant for a torchrun that is still to be started.
    return int(os.environ[name]) if "LOCAL_WORLD_SIZE" in os.environ else alone


def leads() -> bool:
    """Whether this process writes for all."""
    return rank() == 0


def starter() -> int | None:
    """The id of the stage that started this process as one of several, or None."""
    return int(os.environ[STARTER]) if STARTER in os.environ else None


@dataclass(frozen=True)
class Share:
    """The processes of one host.

    command, folder: what each of them runs, and where. count: on this host. first: the number of the first of them,
    from 0, among `world` on all hosts. address, port: where they meet. messages: the folder for what all but the very
    first one say of their failures. kills: of this host's kernel for want of memory, before these were started.
    """

    command: Sequence[str]
    folder: Path
    count: int
    first: int
    world: int
    address: str
    port: int
    messages: Path
    kills: int | None = field(default_factory=memory.kills)

    def said(self, index: int) -> Path | None:
        """The file for what a process of this host says; None for the one that speaks for all."""
        number = self.first + index
        return self.messages / f"process-{number + 1}.txt" if number else None


@dataclass(frozen=True)
class Failure:
    """worker: the process of this host, from 0, or None for another host. code: negative when a signal killed it."""

    worker: int | None
    code: int
    reason: str = ""


def start(count: int, stage: str, messages: Path) -> int:
    """Run this very command in `count` processes on each host, to the end of all; the first one's exit code.

    They get the signals that this process gets. When one fails, the others are ended. What all but the first say of
    their failures goes to `messages`. Raises UserError when another than the first is to blame, or it was killed.
    """
    here = hosts.place()
    command = [sys.executable, *sys.orig_argv[1:]]
    share = Share(command, Path.cwd(), count, 0, count * here.count, here.address, _free_port(), messages)
    if here.count == 1:
        return _led(share, [])
    with hosts.called(here) as links:
        for link in links:
            link.say(stage=stage, arguments=sys.argv[1:], folder=str(share.folder), count=count, world=share.world,
                     port=share.port, messages=str(messages.absolute()))  # fmt: skip
        return _led(share, links)


def _led(share: Share, links: Sequence[Link]) -> int:
    def let_go(_: Failure) -> None:
        for link in links:
            link.hang_up()

    codes, failed, _ = _run(share, links, let_go)
    code, by_itself = codes[0], any(failure.worker == 0 for failure in failed)
    if code == OK:
        return code
    blamed = next((failure for failure in failed if failure.code != LOST), failed[0])
    # One that could not have the memory may still be looking for what fits when it is ended for another's sake.
    short = blamed.code == OUT_OF_MEMORY != code
    if by_itself and code > 0 and code != LOST and not short:
        return code  # it has said why
    raise _error(blamed, share)


def follow(share: Share, link: Link) -> list[int]:
    """Run a share of what another host leads to its end, and tell that host how; the signals that came meanwhile."""
    told = False

    def tell(failure: Failure) -> None:
        nonlocal told
        if not told and failure.code != LOST:
            told = True
            error = _error(failure, share)
            link.say(code=error.code, reason=str(error))

    codes, _, received = _run(share, [link], tell)
    if not told:
        link.say(code=LOST if any(codes) else OK, reason="")
    return received


def _run(
    share: Share, links: Sequence[Link], heed: Callable[[Failure], None]
) -> tuple[list[int], list[Failure], list[int]]:
    """Run a share to the end of all; their exit codes, who failed unasked, in that order, and the signals that came.

    links: to other hosts. heed: told of each failure as soon as it is known.
    """
    share.messages.mkdir(parents=True, exist_ok=True)
    workers: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        _signal(workers, number)

    heard = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in heard}
    try:
        for index in range(share.count):
            workers.append(_started(share, index))
        for number in received:  # while some were not there yet
            _signal(workers, number)
        failed = _watched(workers, links, heed)
    finally:
        _signal(workers, signal.SIGKILL)  # where some could not be started
        for number, handler in before.items():
            signal.signal(number, handler)
    return [worker.returncode for worker in workers], failed, received


def _started(share: Share, index: int) -> "subprocess.Popen[bytes]":
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    environment = {
        **os.environ, STARTER: str(os.getpid()), "MASTER_ADDR": share.address, "MASTER_PORT": str(share.port),
        "RANK": str(share.first + index), "WORLD_SIZE": str(share.world),
        "LOCAL_RANK": str(index), "LOCAL_WORLD_SIZE": str(share.count),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // share.count))),
    }  # fmt: skip
    if share.world == share.count:
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    said = share.said(index)
    if said is None:
        return subprocess.Popen(share.command, env=environment, cwd=share.folder)
    with said.open("w") as stream:
        return subprocess.Popen(
            share.command, env=environment, cwd=share.folder, stdout=subprocess.DEVNULL, stderr=stream
        )


def _watched(
    workers: Sequence["subprocess.Popen[bytes]"], links: Sequence[Link], heed: Callable[[Failure], None]
) -> list[Failure]:
    """Wait for the end of all, and see to it once one has failed. Who failed, in order, before being asked to end."""
    failed: list[Failure] = []
    told: set[int] = set()  # workers whose failure is known
    open_links = list(links)
    since, asked = 0.0, False
    while True:
        running = any(worker.poll() is None for worker in workers)
        new = [index for index, worker in enumerate(workers) if worker.poll() and index not in told]
        told |= set(new)
        found = [Failure(index, workers[index].returncode) for index in new]
        for link in list(open_links):
            if (end := _end(link)) is not None:
                open_links.remove(link)
                found += [end] if end.code else []
        if not asked:
            failed += found
            for failure in found:
                heed(failure)
        if failed and not since:
            since = time.monotonic()
        waited = time.monotonic() - since if since else 0.0
        # The others may still have to say what failed there.
        unheard = failed and any(link.host for link in open_links) and waited <= GRACE + PATIENCE
        if not running and not unheard:
            return failed
        if waited > GRACE + PATIENCE:
            _signal(workers, signal.SIGKILL)
        elif waited > GRACE and not asked:
            _signal(workers, signal.SIGTERM)
            asked = True
        time.sleep(POLL_SECONDS)


def _end(link: Link) -> Failure | None:
    """How the other host's processes ended, once it says so or is gone."""
    who = f"the host with NODE_RANK {link.host}"
    try:
        said = link.heard()
    except Gone:
        # The first one goes when anything has failed anywhere, and it is to say what.
        code = PREEMPTED if link.host else LOST
        return Failure(None, code, f"{who} is gone; run it again to go on from the last checkpoint")
    if said is None:
        return None
    return Failure(None, int(said["code"]), f"{who}: {said['reason']}")


def _signal(workers: Sequence["subprocess.Popen[bytes]"], number: int) -> None:
    for worker in workers:
        worker.send_signal(number)  # to one that has ended: nothing


def _error(failure: Failure, share: Share) -> UserError:
    """What to tell of a failure."""
    if failure.code == LOST and share.world > share.count:
        return UserError("the hosts lost each other; run it again to go on from the last checkpoint", PREEMPTED)
    if failure.worker is None:
        return UserError(failure.reason, failure.code)
    who = f"process {share.first + failure.worker + 1} of {share.world}"
    if failure.code == -signal.SIGKILL and memory.have_grown(share.kills):
        return UserError(f"{who}: {memory.killed(share.messages)}", OUT_OF_MEMORY)
    if failure.code < 0:
        return UserError(
            f"{who} was killed by {signal.Signals(-failure.code).name}; run it again to go on from the last checkpoint",
            UNEXPECTED,
        )
    said = share.said(failure.worker)
    text = said.read_text(errors="replace").strip() if said else ""
    if failure.code == UNEXPECTED:  # with a traceback
        print(text, file=sys.stderr)
    reason = text.splitlines()[-1] if text else "the processes lost each other; run it again"
    return UserError(f"{who}: {reason}", failure.code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
