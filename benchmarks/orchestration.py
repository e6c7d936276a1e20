"""What the flow adds to a run: its time less its stages' own, for each stage.

Reads a run that has ended, from Prefect's server and the run's workspace: in one process, by Prefect's workers, or as
Jobs. A stage's own time is that of its command, `python -m stages.NAME`, from when DVC starts it to when it writes how
it ended, the start of Python and its imports included: without a flow it would take as long. All else is the flow's:
DVC, git, Prefect, a process or pod for each stage, and what is shown in the end.

Run      python -m benchmarks.orchestration runs/...   (PREFECT_API_URL and UNDERSTUDY_WORKSPACES as for the run)
Expect   less than ten seconds a stage, on two CPU cores that do nothing else
"""

import argparse
import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.adapters import prefect as runs

# isort: split
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort, LogSort

from understudy.adapters.remote_data import STARTED
from understudy.adapters.workspace import workspaces
from understudy.errors import UserError
from understudy.graph import STATUS
from understudy.report.tables import Table

BOUND = 10.0  # seconds a stage


@dataclass(frozen=True)
class Spent:
    """Seconds of one stage. own: of its command. waited: from the end of the stage before it until its run began.
    around: of its run, before and after its command."""

    stage: str
    own: float
    waited: float
    around: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("branch", help="of a run that has ended: runs/...")
    branch = parser.parse_args().branch
    runs.reach()
    parent, stages = run_of(branch)
    own = {_stage(run): work(workspaces() / branch, _stage(run), began(run)) for run in stages}
    print(report(branch, *spent(parent, stages, own)).text())


def run_of(branch: str) -> tuple[FlowRun, list[FlowRun]]:
    """The first run of a branch, which had everything to do, and its stages in their order."""

    def found(**wanted: Any) -> list[FlowRun]:
        return list(client.read_flow_runs(flow_run_filter=FlowRunFilter(**wanted), sort=FlowRunSort.START_TIME_ASC))

    with get_client(sync_client=True) as client:
        parents = [run for run in found(name={"any_": [branch]}) if run.end_time]
        if not parents:
            raise UserError(f"{branch}: Prefect's server knows no run of it that has ended")
        stages = [run for run in found(parent_flow_run_id={"any_": [parents[0].id]}) if run.end_time]
    return parents[0], [run for run in stages if run.name.endswith(f" of {branch}")]


def began(run: FlowRun) -> float | None:
    """When DVC started the stage's command, in seconds since the epoch, as the run's log has it; None where DVC had its
    results in the run cache."""
    with get_client(sync_client=True) as client:
        first = client.read_logs(LogFilter(flow_run_id={"any_": [run.id]}), sort=LogSort.TIMESTAMP_ASC, limit=200)
    return next((log.timestamp.timestamp() for log in first if STARTED in log.message), None)


def work(root: Path, stage: str, start: float | None) -> float:
    """Seconds that the stage's command took, which started at `start` if it did."""
    if start is None:
        return 0.0
    return max(0.0, (root / STATUS / f"{stage}.json").stat().st_mtime - start)


def spent(parent: FlowRun, stages: Sequence[FlowRun], own: Mapping[str, float]) -> tuple[list[Spent], float]:
    """What each stage took, and the seconds after the last one. parent, stages: flow runs that have ended."""
    assert parent.start_time is not None and parent.end_time is not None
    last, found = parent.start_time, []
    for run in stages:
        assert run.start_time is not None and run.end_time is not None
        mine, waited = own[_stage(run)], (run.start_time - last).total_seconds()
        found.append(Spent(_stage(run), mine, waited, (run.end_time - run.start_time).total_seconds() - mine))
        last = run.end_time
    return found, (parent.end_time - last).total_seconds()


def report(branch: str, stages: Sequence[Spent], rest: float) -> Table:
    """The table. rest: seconds after the last stage, which belong to all."""
    added = [stage.waited + stage.around for stage in stages]
    rows = tuple((stage.stage, f"{stage.own:.1f}", f"{stage.waited:.1f}", f"{stage.around:.1f}", f"{more:.1f}")
                 for stage, more in zip(stages, added, strict=True))  # fmt: skip
    mean = (sum(added) + rest) / max(1, len(added))
    notes = (
        f"{mean:.1f} s a stage, {rest:.1f} s after the last one included; {max(added, default=0.0):.1f} s at most. "
        f"The bound is {BOUND:.0f} s a stage.",
        f"{datetime.date.today()}, {os.cpu_count()} cores ({platform.machine()})",
    )
    header = ("stage", "its own, s", "until it starts, s", "around it, s", "the flow's, s")
    return Table(f"What the flow adds in {branch}", header, rows, notes)


def _stage(run: FlowRun) -> str:
    """Of `STAGE of BRANCH`."""
    return run.name.split()[0]


if __name__ == "__main__":
    main()
