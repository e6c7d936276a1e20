"""Flow runs that others do: started by their deployment, waited for, cancelled."""

import time
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from understudy.adapters.prefect import Wanted, is_rescheduled, state_of

# isort: split
from prefect import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventRelatedFilter
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Cancelling, Failed, State

from understudy.errors import in_one_line

POLL_SECONDS = 1.0  # between two looks at them
BEGIN_HOURS = 12  # between a run's turn and its process: a GPU that others use, or a node that must be started first
KILLED_FOR_MEMORY = "OOMKilled"  # Kubernetes' word, and that of Prefect's events


def start(
    deployment: str, parameters: Mapping[str, Any], name: str, key: str, variables: Mapping[str, Any] | None = None
) -> tuple[UUID, State]:
    """Have a worker run a deployment: the new flow run and its state, or those of the one that was made by this key.

    variables: of its pool's job template, where they are to differ from the deployment's.
    """
    from prefect.deployments import run_deployment

    run: Any = run_deployment(deployment, parameters=dict(parameters), flow_run_name=name, idempotency_key=key,
                              job_variables=dict(variables or {}), timeout=0)  # fmt: skip
    return run.id, run.state


def ends(started: Mapping[UUID, State], wanted: Wanted) -> dict[UUID, State]:
    """Wait for flow runs, of which these states are known; the states in which they ended.

    When the run that waits is not wanted any more they are cancelled, and this returns what they are at then; so too
    when this process is told to end, unless its worker starts the run again: then that process takes them over.
    One that no process begins within BEGIN_HOURS of its turn is cancelled, and Failed here.
    """
    states, turns = dict(started), dict[UUID, float]()
    try:
        while going := [run for run, state in states.items() if not state.is_final()]:
            time.sleep(POLL_SECONDS)
            if wanted.no_more():
                _cancel(going)
                return states
            for run in going:
                states[run] = _latest(run, states[run])
                if _is_stuck(run, states[run], turns):
                    states[run] = _given_up(run, states[run])
    except TerminationSignal:
        if not is_rescheduled(wanted.run):
            _cancel(run for run, state in states.items() if not state.is_final())
        raise
    return states


def _latest(run: UUID, known: State) -> State:
    """What is known stays so while the server does not answer."""
    try:
        return state_of(run) or Failed(message="its flow run was deleted")
    except Exception:  # httpx's and Prefect's own share no base
        return known


def _is_stuck(run: UUID, state: State, turns: dict[UUID, float]) -> bool:
    """turns: when each run that now has its turn was first seen to have it, in seconds of the monotonic clock.

    A run that waits for its turn is Scheduled, be it called Late or AwaitingConcurrencySlot, and may wait for days.
    """
    if not state.is_pending():
        turns.pop(run, None)
        return False
    now = time.monotonic()
    return now - turns.setdefault(run, now) > BEGIN_HOURS * 3600


def _given_up(run: UUID, known: State) -> State:
    """Cancelled on the server, Failed for who waited. What is known stays so while the server does not answer."""
    try:
        with get_client(sync_client=True) as client:
            found = client.read_flow_run(run)
        _cancel([run])
    except Exception:  # httpx's and Prefect's own share no base
        return known
    return Failed(message=f"{found.name} has not begun within {BEGIN_HOURS} hours of its turn in the pool "
                  f"{found.work_pool_name}: no node takes its pod, or no worker starts it; `kubectl describe pod`, and "
                  "docs/operations.md, \"A run that is stuck\"")  # fmt: skip


def _cancel(runs: Iterable[UUID]) -> None:
    """Each one's worker ends its process, and it sees it for itself."""
    with get_client(sync_client=True) as client:
        for run in runs:
            client.set_flow_run_state(run, Cancelling())


def killed_for_memory(run: UUID) -> bool:
    """Whether a flow run's pod was killed for memory. Kubernetes kills it whole, so that nobody in it can say so: the
    worker tells Prefect, as an event."""
    pods = EventFilter(event=EventNameFilter(prefix=["prefect.kubernetes.pod."]),
                       related=EventRelatedFilter(id=[f"prefect.flow-run.{run}"]))  # fmt: skip
    try:
        with get_client(sync_client=True) as client:
            told = client.read_events(pods, limit=50).events  # its own default is more than the server allows
    except Exception as error:  # httpx's and Prefect's own share no base
        get_run_logger().warning("Prefect does not say what became of the pod: %s", in_one_line(error))
        return False
    return any(event.resource.get("kubernetes.diagnosis") == KILLED_FOR_MEMORY for event in told)
