"""What the flow adds to a run, of flow runs that are made up."""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from benchmarks import orchestration as benchmark

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def flow_run(name: str, start: float, end: float):
    """From and until so many seconds after BEGAN."""
    from prefect.client.schemas.objects import FlowRun

    at = [BEGAN + timedelta(seconds=seconds) for seconds in (start, end)]
    return FlowRun(flow_id=uuid4(), name=name, start_time=at[0], end_time=at[1])


def test_all_that_is_not_a_stage_s_command_is_the_flow_s():
    parent = flow_run("runs/x", 0, 40)
    stages = [flow_run("prepare of runs/x", 3, 13), flow_run("gate of runs/x", 18, 34)]
    spent, rest = benchmark.spent(parent, stages, {"prepare": 6.0, "gate": 0.0})
    assert spent == [
        benchmark.Spent("prepare", own=6.0, waited=3.0, around=4.0),
        benchmark.Spent("gate", own=0.0, waited=5.0, around=16.0),
    ]
    assert rest == 6.0
    table = benchmark.report("runs/x", spent, rest)
    assert table.rows == (("prepare", "6.0", "3.0", "4.0", "7.0"), ("gate", "0.0", "5.0", "16.0", "21.0"))
    assert "17.0 s a stage, 6.0 s after the last one included; 21.0 s at most" in table.notes[0]  # (40 - 6) / 2


def test_a_command_has_worked_from_its_start_to_its_status(tmp_path):
    status = tmp_path / benchmark.STATUS / "gate.json"
    status.parent.mkdir(parents=True)
    status.write_text("{}")
    os.utime(status, (1000.0, 1000.0))
    assert benchmark.work(tmp_path, "gate", 996.5) == pytest.approx(3.5)
    assert benchmark.work(tmp_path, "gate", None) == 0.0, "DVC had its results in the run cache"
