"""Take a share of the training that another host leads.

On the first of several hosts (NODE_RANK 0) stages are run as ever, by `dvc repro` or `understudy run`;
on each of the others this waits for their calls, one after the other, and runs as many processes as the
first one does, in a folder of the same path. NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT say which of
how many hosts this is, and where the first one is. Ends on a signal, or once no call came for a while.
"""

import argparse
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from understudy.errors import BAD_INPUT, OK, PREEMPTED, UserError

if TYPE_CHECKING:
    from understudy.hosts import Place
    from understudy.processes import Share

MINUTES = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", type=float, default=MINUTES, metavar="MINUTES",
                        help="for the first call, and after each for the next (default: %(default).0f)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from understudy import hosts, processes

    here = hosts.place()
    if here.index == 0:
        raise UserError(
            f"NODE_RANK: 0 of {here.count} hosts (NNODES): the first one runs stages, and the others follow"
        )
    signal.signal(signal.SIGTERM, _stop)
    called = False
    while (answer := hosts.answered(here, arguments.wait * 60)) is not None:
        link, call = answer
        called, signals = True, []
        try:
            share = _share(call, here)
            numbers = f"{share.first + 1} to {share.first + share.count} of {share.world}"
            print(f"{call['stage']}: running processes {numbers}", flush=True)
            signals = processes.follow(share, link)
            print(f"{call['stage']}: they have ended", flush=True)
        except (UserError, OSError) as error:
            link.say(code=getattr(error, "code", BAD_INPUT), reason=str(error))
            print(f"understudy follow: {error}", file=sys.stderr, flush=True)
        finally:
            link.close()
        if signals:
            signal.raise_signal(signals[0])  # it was meant for this process too
    if not called:
        raise UserError(f"{here.address}, port {here.port}: no call in {arguments.wait:g} minutes; does the first host "
                        "run a stage, and do MASTER_ADDR and MASTER_PORT lead there?")  # fmt: skip
    return OK


def _share(call: Mapping[str, Any], here: "Place") -> "Share":
    """What a call asks of this host. Raises UserError when the first host's folder is not here."""
    from understudy.processes import Share

    folder, stage, count = Path(call["folder"]), call["stage"], call["count"]
    if not re.fullmatch(r"[a-z]+", stage) or not (folder / "stages" / f"{stage}.py").exists():
        raise UserError(f"{folder}/stages/{stage}.py: missing; every host needs the project under the first one's path")
    command = [sys.executable, "-m", f"stages.{stage}", *call["arguments"]]
    messages, first = Path(call["messages"]), count * here.index
    return Share(command, folder, count, first, call["world"], here.address, call["port"], messages)


def _stop(*_: int | FrameType | None) -> None:
    sys.exit(PREEMPTED)
