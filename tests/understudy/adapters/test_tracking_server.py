"""Tracking against a real `mlflow server` that is late, is killed in the middle of a delivery, and returns.

Meanwhile a process writes a log as a training does. It must notice nothing, and the store must end up with one run that
has everything once.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from logged_training import FINGERPRINT, LOSSES, PARAMS, STAGE, VALIDATE_EVERY, log_path
from mlflow_server import MlflowServer, stop_group, wait_until

from understudy.adapters import tracking
from understudy.adapters.mlflow import connect
from understudy.cli import main
from understudy.errors import BAD_INPUT, OK
from understudy.params.leaves import leaves
from understudy.train.log import read

REPO = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("logged_training.py")
NOWHERE = "http://127.0.0.1:9"  # where nothing listens
METRICS = len(LOSSES) + 1  # of a step, with the rate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Server(MlflowServer):
    """On SQLite, with artifacts in a folder."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "server.db"
        super().__init__(folder, f"sqlite:///{self.database}", str(folder / "artifacts"))

    def count(self) -> int:
        """Metrics that have arrived, asked of the database itself: at once, and without the server's help."""
        if not self.database.exists():
            return 0
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)) as database:
            try:
                return database.execute("SELECT count(*) FROM metrics").fetchone()[0]
            except sqlite3.OperationalError:  # no such table yet
                return 0


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """One for all tests here: starting it is what takes long. The first test finds it down."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def training(server, tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a training in tmp_path, tracked at the server. It and its follower end with the test."""
    started = []

    def start(resumed_at: int, **changes: str) -> subprocess.Popen:
        environment = {**os.environ, "UNDERSTUDY_TRACKING": "on", "MLFLOW_TRACKING_URI": server.uri, **changes}
        command = [sys.executable, str(PROGRAM), str(tmp_path), str(resumed_at)]
        started.append(subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True))  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        stop_group(process)


@pytest.fixture
def store(server, tmp_path, monkeypatch) -> Iterator[Callable[[], tuple]]:
    """Gives the client and the runs that the server has. They are deleted after the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def runs():
        found = connect(tmp_path)
        return found.client, found.client.search_runs([found.experiment])

    yield runs
    if server.process is None:  # the test failed while it was down
        return
    client, left = runs()
    for run in left:
        client.delete_run(run.info.run_id)


def last_step(root: Path) -> int:
    return max((record.get("step", 0) for record in read(log_path(root))), default=0)


def logged(root: Path) -> int:
    """Metrics that the log holds."""
    return METRICS * sum(record["event"] == "step" for record in read(log_path(root)))


def tracker_says(root: Path) -> str:
    path = log_path(root).with_name("tracker.txt")
    return path.read_text() if path.exists() else ""


def assert_complete(store, last: int) -> None:
    """One run, FINISHED, with every step once, every parameter and every picture."""
    client, runs = store()
    assert len(runs) == 1
    (run,) = runs
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in leaves(PARAMS).items()}
    assert run.data.tags["dvc_stage"] == STAGE and run.data.tags[tracking.FINGERPRINT] == FINGERPRINT
    steps, validations = list(range(10, last + 1, 10)), list(range(VALIDATE_EVERY, last + 1, VALIDATE_EVERY))
    expected = {**{f"loss/{name}": steps for name in LOSSES}, "images_per_second": steps,
                "miou_segmenter_noresize_val": validations, "best/miou_segmenter_noresize_val": [0]}  # fmt: skip
    for name, wanted in expected.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert sorted(entry.step for entry in history) == wanted, name
    assert run.data.metrics["loss/gan"] == 1 + 1 / last
    pictures = [f"samples/{step:06d}.png" for step in validations]
    assert [entry.path for entry in client.list_artifacts(run.info.run_id, "samples")] == pictures


def test_a_server_that_is_late_dies_in_a_delivery_and_returns(server, training, store, tmp_path):
    process = training(0)
    wait_until(lambda: "attempt 1:" in tracker_says(tmp_path), "the follower to find no server")
    server.be_up()
    # More is pending than goes into one call: the server dies when the first is in its database and is being answered.
    wait_until(server.count, "the first delivery", pause=0.005)
    server.kill()
    arrived = server.count()
    assert 0 < arrived < logged(tmp_path)
    step = last_step(tmp_path)
    server.be_up()
    wait_until(lambda: server.count() > arrived + METRICS, "deliveries to go on")
    assert process.poll() is None and last_step(tmp_path) > step
    assert store()[1][0].info.status == "RUNNING"
    (tmp_path / "enough").touch()
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    told = json.loads(output)
    assert told["median"] < 0.01 and told["slowest"] < 1.0, told
    wait_until(lambda: store()[1][0].info.status == "FINISHED", "the last delivery", pause=1.0)
    assert_complete(store, told["step"])


def test_two_attempts_are_one_run(server, training, store, tmp_path):
    server.be_up()
    before = server.count()
    process = training(0)
    wait_until(lambda: server.count() > before + 20 * METRICS, "a live delivery")
    process.kill()
    process.wait(timeout=20)
    killed_at = last_step(tmp_path)
    # Taken up again at a checkpoint, while the first follower may still be there: some steps are logged again.
    (tmp_path / "enough").touch()
    again = training(killed_at // 100 * 100 - 100)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    wait_until(lambda: store()[1][0].info.status == "FINISHED", "the end of the second attempt", pause=1.0)
    assert_complete(store, json.loads(output)["step"])


def test_what_a_follower_gave_up_is_delivered_later(server, training, store, tmp_path, monkeypatch, capsys):
    server.be_up()
    (tmp_path / "enough").touch()
    output, _ = training(0, UNDERSTUDY_TRACKING="off").communicate(timeout=60)
    monkeypatch.setattr(tracking, "BACKOFF_SECONDS", (0.1, 0.1))
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
        arguments = ["--root", str(tmp_path), "--stage", STAGE, "--log", str(log_path(tmp_path))]
        assert tracking.main([*arguments, "--follow-pid", str(os.getpid())]) == OK
        assert "not delivered" in capsys.readouterr().out
        assert main(["track", "--root", str(tmp_path)]) == BAD_INPUT
        assert "run it again later" in capsys.readouterr().err
    for _ in range(2):  # nothing is sent twice
        assert main(["track", "--root", str(tmp_path)]) == OK
        assert_complete(store, json.loads(output)["step"])
