"""Training under DVC, killed again and again at random moments, ends where an undisturbed one does."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_repository import commit, done, environment
from shrunk import make

from understudy.files import read_json
from understudy.locks import holder
from understudy.train.log import read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

STEPS = 250
SEED = 20  # of the moments


@pytest.fixture(scope="module")
def project(repo, tmp_path_factory) -> Path:
    """A repository of which everything up to the judge is made, and whose trainings last long enough to be killed."""
    root = tmp_path_factory.mktemp("project")
    make(repo, root)
    values = yaml.safe_load((root / "params.yaml").read_text())
    for section in ("teacher", "student"):
        values[section]["schedule"] |= {"constant_steps": STEPS // 2, "decay_steps": STEPS // 2, "validate_every": 50}
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    done(root, "dvc", "repro", "judge")
    commit(root, "data and judge")
    return root


@pytest.fixture(scope="module")
def undisturbed(project, tmp_path_factory) -> Path:
    """A root beside it, in which the teacher was trained without any disturbance."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(project / "artifacts", root / "artifacts")
    shutil.copy(project / "params.yaml", root)
    alone(project, root, "teacher")
    return root


def alone(project: Path, root: Path, *stages: str) -> None:
    """Run stages without DVC, by the project's code, on a root beside it."""
    for stage in stages:
        done(project, sys.executable, "-m", f"stages.{stage}", "--root", str(root))


def log_of(root: Path, stage: str) -> Path | None:
    return next(iter(root.glob(f".understudy/{stage}/*/log.jsonl")), None)


def step_of(root: Path, stage: str) -> int:
    """The last step that the log tells of."""
    log = log_of(root, stage)
    return max((record.get("step", 0) for record in read(log)), default=0) if log else 0


def records(root: Path, stage: str) -> list[dict[str, Any]]:
    """The log without what a clock wrote."""
    log = log_of(root, stage)
    assert log is not None
    return [{k: v for k, v in record.items() if k not in ("time", "rate", "fingerprint")} for record in read(log)]


def wait(condition, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def kill_at_random(project: Path, stage: str, way: str, moment: random.Random) -> None:
    """Start `dvc repro STAGE`, and kill the stage or DVC alone at some step; returns once both are gone."""
    first = step_of(project, stage)
    tracked = environment() | {"UNDERSTUDY_TRACKING": "on", "MLFLOW_TRACKING_URI": ""}
    dvc = subprocess.Popen(["dvc", "repro", stage], cwd=project, env=tracked, start_new_session=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    lock = project / ".understudy" / stage / "lock"
    target = first + moment.choice((10, 20))
    wait(lambda: step_of(project, stage) >= target or dvc.poll() is not None)
    assert dvc.poll() is None, dvc.stdout.read() if dvc.stdout else ""
    time.sleep(moment.uniform(0, 0.2))
    worker = holder(lock)
    assert worker is not None
    number = signal.SIGTERM if "SIGTERM" in way else signal.SIGKILL
    os.kill(dvc.pid if way.startswith("DVC") else worker, number)
    dvc.wait(60)
    wait(lambda: holder(lock) is None)
    if way != "stage by SIGKILL":
        left = read_json(project / f".understudy/status/{stage}.json")
        assert left["code"] == 75 and "with its state saved" in left["reason"]
        # What was logged is what was saved: nothing is taken twice.
        saved = max(int(path.name.split("-")[1]) for path in log_of(project, stage).parent.glob("checkpoint-*"))
        assert saved >= step_of(project, stage)
    assert not (project / "artifacts" / stage / "weights.safetensors").exists()


WAYS = ("stage by SIGKILL", "stage by SIGTERM", "DVC by SIGKILL", "DVC by SIGTERM", "stage by SIGKILL")


@pytest.mark.parametrize(("stage", "kills"), [("teacher", 4), pytest.param("distill", 3, marks=pytest.mark.long)])
def test_kills_change_nothing(stage, kills, project, undisturbed):
    from mlflow import MlflowClient

    if stage == "distill":
        alone(project, undisturbed, "prune", "distill")
        done(project, "dvc", "repro", "prune")
    moment = random.Random(f"{SEED} {stage}")
    for way in itertools.islice(itertools.cycle(WAYS), kills):
        kill_at_random(project, stage, way, moment)
    assert 0 < step_of(project, stage) < STEPS
    ended = done(project, "dvc", "repro", stage)
    assert "going on from step" in ended
    for name in ("weights.safetensors", "curves.csv", "validation.csv", "metrics.json", "samples.png"):
        path = f"artifacts/{stage}/{name}"
        assert (project / path).read_bytes() == (undisturbed / path).read_bytes(), name
    assert records(project, stage) == records(undisturbed, stage)
    assert len(list(project.glob(f".understudy/{stage}/*/checkpoint-*"))) == 1  # what DVC has not recorded yet

    # The follower of a killed training may still be at work, and alone may be.
    wait(lambda: "is being followed" not in done(project, "understudy", "track"))
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'understudy'")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.dvc_stage = '{stage}'")
    assert run.info.status == "FINISHED"
    steps = [entry.step for entry in client.get_metric_history(run.info.run_id, "loss/recon")]
    assert sorted(steps) == list(range(10, STEPS + 1, 10))
