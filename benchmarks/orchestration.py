"""What the flow adds to a run: its time less its stages' own, for each stage.

Reads a run that has ended, from Prefect's server and the run's workspace: in one process, by Prefect's workers, or as
Jobs. A stage's own time is from when its process takes its lock to when it writes how it ended; starting Python, DVC,
git, and everything between two stages counts as the flow's.

Run      python -m benchmarks.orchestration runs/...   (PREFECT_API_URL and UNDERSTUDY_WORKSPACES as for the run)
Expect   less than ten seconds for each stage, on two CPU cores that do nothing else
"""

import argparse
import datetime
import os
import platform
from pathlib import Path
from typing import Any

from understudy.adapters import prefect as runs

# isort: split
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from understudy.adapters.workspace import workspaces
from understudy.errors import UserError
from understudy.graph import STATUS
from understudy.report.tables import Table

BOUND = 10.0  # seconds a stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("branch", help="of a run that has ended: runs/...")
    branch = parser.parse_args().branch
    runs.reach()
    parent, stages = run_of(branch)
    print(report(branch, parent, stages).text())


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


def report(branch: str, parent: FlowRun, stages: list[FlowRun]) -> Table:
    """parent, stages: flow runs that have ended."""
    assert parent.start_time is not None and parent.end_time is not None
    last, rows, added = parent.start_time, [], []
    for stage in stages:
        assert stage.start_time is not None and stage.end_time is not None
        name = stage.name.split()[0]
        own, waited = work(workspaces() / branch, name), (stage.start_time - last).total_seconds()
        inside = (stage.end_time - stage.start_time).total_seconds() - own
        rows.append((name, f"{own:.1f}", f"{waited:.1f}", f"{inside:.1f}", f"{waited + inside:.1f}"))
        added.append(waited + inside)
        last = stage.end_time
    rest = (parent.end_time - last).total_seconds()
    mean = sum(added) / max(1, len(added))
    notes = (
        f"{mean:.1f} s a stage, {max(added, default=0.0):.1f} s at most; the bound is {BOUND:.0f} s. "
        f"After the last one, to show what was found: {rest:.1f} s.",
        f"{datetime.date.today()}, {os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[1]:.1f} over "
        "five minutes",
    )
    header = ("stage", "its own, s", "until it starts, s", "around it, s", "the flow's, s")
    return Table(f"What the flow adds in {branch}", header, tuple(rows), notes)


def work(root: Path, stage: str) -> float:
    """Seconds for which the stage's last process worked; none where DVC had its results in the run cache."""
    lock, status = root / ".understudy" / stage / "lock", root / STATUS / f"{stage}.json"
    if not status.exists():
        return 0.0
    return max(0.0, status.stat().st_mtime - lock.stat().st_mtime)


if __name__ == "__main__":
    main()
