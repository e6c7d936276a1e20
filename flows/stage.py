"""One stage of the pipeline, in the workspace of its run: data in, `dvc repro`, data out, a commit.

As a deployment (`stage/cpu`, `stage/gpu`) it is a process or a pod of its own; flows/compress.py also calls it where it
runs itself. Data travels by DVC alone, and DVC decides whether there is something to do.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from understudy.adapters.prefect import Wanted, failure, is_rescheduled, run_id

# isort: split
from prefect import flow
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Completed, State

from understudy import child
from understudy.adapters import remote_data
from understudy.adapters.dvc import environment
from understudy.adapters.workspace import Workspace, workspace
from understudy.errors import GATE_FAILED, UserError
from understudy.locks import held
from understudy.verdict import PATH, read_verdict

FOLLOWED = 60.0  # seconds for the process that follows a training's log to come to its end


@flow(name="stage", flow_run_name="{stage} of {branch}", persist_result=False)
def stage(stage: str, branch: str) -> State:
    """Run one stage at the tip of a run branch, and put what it made there.

    Ends Completed, Failed (BadInput, DataRefused, GateFailed, OutOfMemory, Failed), Crashed (Preempted, Killed: started
    again, it goes on from its last checkpoint) or Cancelled.
    """
    run, logger = run_id(), get_run_logger()
    wanted = Wanted(run)
    if wanted.no_more():
        return wanted.end(UserError("nothing was started"))
    try:
        with workspace(branch, str(wanted.parent or run), f"{stage} of {branch}") as here:
            commit = _perform(here, stage, logger.info, wanted.no_more)
            _judge(here.root, stage)
    except UserError as error:
        if child.received and is_rescheduled(run):
            raise TerminationSignal(child.received[-1]) from None  # its worker has given the state, and Prefect asks it
        if wanted.no_more():
            return wanted.end(error)
        logger.error("%s", error)
        return failure(error)
    return Completed(message=f"{branch} is at {commit[:7]}")


def _perform(here: Workspace, stage: str, said: Callable[[str], None], unwanted: Callable[[], bool]) -> str:
    """The commit at which the branch is then. The data goes first, so that no commit names what nobody has."""
    remote_data.named(here.root)
    remote_data.pull(here.root, stage, said)
    remote_data.reproduce(here.root, stage, said, unwanted)
    remote_data.push(here.root, stage, said)
    here.commit_results(f"{stage} of {here.branch}")
    _track(here.root, stage, said)
    return here.commit


def _judge(root: Path, stage: str) -> None:
    """The gate does not fail when the student does. Raises UserError then, with what it failed by."""
    if stage == "gate" and not (verdict := read_verdict(root / PATH)).passed:
        raise UserError("; ".join(verdict.failures()), GATE_FAILED)


def _track(root: Path, stage: str, said: Callable[[str], None]) -> None:
    """Deliver the training's log, if there is one: a pod's end would end the process that follows it."""
    logs = list((root / ".understudy" / stage).glob("*/log.jsonl"))
    if not logs or os.environ.get("UNDERSTUDY_TRACKING") == "off":
        return
    for log in logs:
        with held(log.with_name("tracker.lock"), FOLLOWED):
            pass
    if all(map(_is_delivered, logs)):
        return
    command = [sys.executable, "-c", "import sys, understudy.cli; sys.exit(understudy.cli.main(['track']))"]
    if child.run(command, root, environment(), said):
        said("the log is not delivered yet; that changes nothing about the student")


def _is_delivered(log: Path) -> bool:
    """Whether who followed this log has said so, after the last record: to start another one would take seconds."""
    said = log.with_name("tracker.txt")
    if not said.exists() or said.stat().st_mtime < log.stat().st_mtime:
        return False
    return said.read_text(errors="replace").rstrip().endswith(": delivered")
