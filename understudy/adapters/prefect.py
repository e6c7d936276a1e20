"""Prefect: how a stage's end is told as a state, and who still wants a run to go on.

The only library files that know Prefect are this one and its neighbours prefect_*.py.
"""

import os
import sys

# Before Prefect is imported, which reads them then: nothing phones home, not even a server that it starts by itself.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from collections.abc import Callable
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Crashed, Failed, State

from understudy.adapters.dvc import KILLED
from understudy.errors import (
    BAD_INPUT,
    DATA_FAILED,
    GATE_FAILED,
    INTERRUPTED,
    OK,
    OUT_OF_MEMORY,
    PREEMPTED,
    UNEXPECTED,
    UserError,
    in_one_line,
)

# State names by exit code; of a crash the parent starts the stage again, of a failure nobody does.
GATE = "GateFailed"
FAILED = {BAD_INPUT: "BadInput", GATE_FAILED: GATE, DATA_FAILED: "DataRefused",
          OUT_OF_MEMORY: "OutOfMemory"}  # fmt: skip
CRASHED = {PREEMPTED: "Preempted", INTERRUPTED: "Preempted", KILLED: "Killed"}
REFUSED = "Refused"  # of a promotion
CHAMPION_WRONG = "ChampionWrong"  # it is not what was promoted
UNWANTED = (StateType.CANCELLING, StateType.CANCELLED, StateType.CRASHED, StateType.FAILED, StateType.COMPLETED)


def reach() -> None:
    """Raises UserError, before anything is begun, when there is no Prefect server; none is started unasked."""
    where = PREFECT_API_URL.value()
    advice = "`prefect server start` starts one, and says what to export"
    if not where:
        raise UserError(f"PREFECT_API_URL is not set; {advice}")
    with get_client(sync_client=True) as client:
        if wrong := client.api_healthcheck():
            raise UserError(f"Prefect's server at {where} does not answer ({in_one_line(wrong)}); {advice}")


def failure(error: UserError) -> State:
    """What a stage that ended with this error is told to Prefect as."""
    said = str(error)
    if error.code in CRASHED:
        return Crashed(name=CRASHED[error.code], message=said)
    return Failed(name=FAILED.get(error.code, "Failed"), message=said)


def exit_code(state: State) -> int:
    """Of the process that ran a flow which ended so."""
    if state.is_completed():
        return OK
    codes = {name: code for code, name in (*FAILED.items(), *CRASHED.items())}
    codes |= {"Preempted": PREEMPTED, REFUSED: GATE_FAILED, CHAMPION_WRONG: GATE_FAILED}
    return INTERRUPTED if state.is_cancelled() else codes.get(state.name or "", UNEXPECTED)


def command(name: str, run: Callable[[], State]) -> int:
    """What `python -m flows.NAME` does: run the flow beside a server that answers, and say how it ended."""
    try:
        reach()
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.code
    state = run()
    print(f"{name}: {state.name}: {state.message}", flush=True)
    return exit_code(state)


def run_id() -> UUID:
    """Of the flow run that this is called in."""
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None
    return context.flow_run.id


def state_of(run: UUID) -> State | None:
    """What the server says of a flow run now, or None when it has been deleted."""
    with get_client(sync_client=True) as client:
        try:
            return client.read_flow_run(run).state
        except ObjectNotFound:
            return None


def is_rescheduled(run: UUID) -> bool:
    """Whether a run that was told to end is to be started again by its worker."""
    state = state_of(run)
    return state is not None and state.is_scheduled()


def parent_of(run: UUID) -> UUID | None:
    """The flow run that started this one."""
    with get_client(sync_client=True) as client:
        task = client.read_flow_run(run).parent_task_run_id
        return None if task is None else client.read_task_run(task).flow_run_id


class Wanted:
    """Whether a run is to go on: until it is cancelled, or the run that started it has ended in whatever way.

    A server that does not answer stops nothing. reason: why it is not, once it is not.
    """

    def __init__(self, run: UUID) -> None:
        self.run, self.parent = run, parent_of(run)
        self.reason = ""

    def no_more(self) -> bool:
        for run, who in ((self.run, "this run"), (self.parent, "the run that started it")):
            if run is None or self.reason:
                continue
            try:
                state = state_of(run)
            except Exception:  # of a server that is down: httpx's and Prefect's own share no base
                continue
            if state is None or state.type in UNWANTED:
                self.reason = f"{who} is {'deleted' if state is None else state.name}"
        return bool(self.reason)

    def end(self, error: UserError) -> State:
        """The state of a run that is not to go on and has ended with this error."""
        return Cancelled(message=f"{self.reason}; {error}")


def rename(run: UUID, name: str) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(run, name)
