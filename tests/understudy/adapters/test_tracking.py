import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from PIL import Image

from understudy.adapters import tracking
from understudy.adapters.mlflow import EXPERIMENT, connect
from understudy.errors import UserError
from understudy.train.log import Log, read

REPO = Path(__file__).parents[3]
FINGERPRINT = "f00dfeed" * 8
PARAMS = {"base": {"seed": 3}, "teacher": {"ngf": 8, "schedule": {"batch_size": 4}}}


def log_path(root, stage="teacher"):
    return root / ".understudy" / stage / FINGERPRINT / "log.jsonl"


def begin(root, stage="teacher") -> Log:
    log = Log(log_path(root, stage), resumed_at=0)
    log.write("start", stage=stage, fingerprint=FINGERPRINT, steps=40, params=PARAMS)
    return log


def train(log, *steps):
    for step in steps:
        log.write("step", step=step, losses={"gan": 1 / step, "recon": 2 / step}, rate=50.0)
        if step % 20 == 0:
            log.write("validation", step=step, metrics={"miou_segmenter_noresize_val": step / 100})
            picture = log.path.parent / f"samples/{step:06d}.png"
            picture.parent.mkdir(exist_ok=True)
            Image.new("RGB", (4, 4)).save(picture)
            log.write("image", step=step, path=f"samples/{step:06d}.png")


def only_run(root):
    store = connect(root)
    runs = store.client.search_runs([store.experiment])
    assert len(runs) == 1
    return store.client, runs[0]


def steps_of(root, metric):
    client, run = only_run(root)
    return [entry.step for entry in client.get_metric_history(run.info.run_id, metric)]


@pytest.mark.slow
def test_a_finished_training_is_delivered_whole_and_once(root):
    log = begin(root)
    train(log, 10, 20, 30, 40)
    log.write("end", metrics={"miou_segmenter_noresize_val": 0.4})
    (root / "dvc.yaml").write_text("stages: {teacher: {deps: [artifacts/prepare/train.zip, stages/teacher.py]}}\n")
    (root / "dvc.lock").write_text("stages: {prepare: {outs: [{path: artifacts/prepare/train.zip, md5: abc}]}}\n")
    tracking.deliver(root)
    tracking.deliver(root)
    client, run = only_run(root)
    assert run.info.status == "FINISHED"
    # When it trained, not when it was delivered.
    times = [record["time"] for record in read(log.path)]
    assert (run.info.start_time, run.info.end_time) == (int(times[0] * 1000), int(times[-1] * 1000))
    assert run.data.params == {"base.seed": "3", "teacher.ngf": "8", "teacher.schedule.batch_size": "4"}
    tags = {name: run.data.tags.get(name) for name in ("dvc_stage", tracking.FINGERPRINT)}
    assert tags == {"dvc_stage": "teacher", tracking.FINGERPRINT: FINGERPRINT}
    assert run.data.tags["dvc_dep.artifacts/prepare/train.zip"] == "abc"
    assert len(run.data.tags["dvc_lock_sha256"]) == 64
    assert steps_of(root, "loss/gan") == [10, 20, 30, 40]
    assert steps_of(root, "miou_segmenter_noresize_val") == [20, 40]
    assert run.data.metrics["loss/recon"] == 2 / 40
    assert run.data.metrics["best/miou_segmenter_noresize_val"] == 0.4
    assert [file.path for file in client.list_artifacts(run.info.run_id, "samples")] == [
        "samples/000020.png",
        "samples/000040.png",
    ]


@pytest.mark.slow
def test_steps_logged_again_after_a_resume_are_not_doubled(root):
    train(begin(root), 10, 20, 30)
    tracking.deliver(root)
    assert only_run(root)[1].info.status == "KILLED"
    resumed = Log(log_path(root), resumed_at=20)
    time.sleep(0.01)
    train(resumed, 30, 40)
    resumed.write("end", metrics={})
    tracking.deliver(root)
    assert only_run(root)[1].info.status == "FINISHED"
    assert steps_of(root, "loss/gan") == [10, 20, 30, 40]
    assert steps_of(root, "images_per_second") == [10, 20, 30, 40]


@pytest.mark.slow
def test_long_logs_go_in_parts_and_stages_get_runs_of_their_own(root, monkeypatch):
    monkeypatch.setattr(tracking, "BATCH", 7)
    monkeypatch.setattr(tracking, "PARAMS", 2)
    train(begin(root, "teacher"), *range(10, 210, 10))
    train(begin(root, "distill"), 10)
    tracking.deliver(root)
    store = connect(root)
    runs = {run.data.tags["dvc_stage"]: run for run in store.client.search_runs([store.experiment])}
    assert set(runs) == {"teacher", "distill"}
    history = store.client.get_metric_history(runs["teacher"].info.run_id, "loss/recon")
    assert [entry.step for entry in history] == list(range(10, 210, 10))
    assert len(runs["teacher"].data.params) == 3


@pytest.mark.slow
def test_a_store_that_is_down_gets_the_rest_later(root, monkeypatch, capsys):
    log = begin(root)
    train(log, 10, 20)
    monkeypatch.setattr(tracking, "BACKOFF_SECONDS", (0.0, 0.0))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(UserError, match="cannot be reached"):
            tracking.deliver(root)
    assert capsys.readouterr().err.count("attempt") == 3
    train(log, 30)
    tracking.deliver(root)
    assert steps_of(root, "loss/gan") == [10, 20, 30]


@pytest.mark.slow
def test_a_follower_is_live_and_survives_being_killed(root):
    log = begin(root)
    train(log, 10)
    command = [sys.executable, "-m", "understudy.adapters.tracking", "--root", str(root), "--stage", "teacher"]
    command += ["--log", str(log.path), "--follow-pid", str(os.getpid())]
    follower = subprocess.Popen(command, cwd=REPO)
    try:
        deadline = time.monotonic() + 120
        store = connect(root)
        while not (runs := store.client.search_runs([store.experiment])) or "loss/gan" not in runs[0].data.metrics:
            assert time.monotonic() < deadline, "nothing arrived while the training was live"
            time.sleep(0.5)
        assert runs[0].info.status == "RUNNING"
    finally:
        follower.send_signal(signal.SIGKILL)
        follower.wait()
    train(log, 20, 30)
    # Started again, it stops by itself at the end of the log, although this process lives on.
    again = subprocess.Popen(command, cwd=REPO)
    train(log, 40)
    log.write("end", metrics={})
    assert again.wait(timeout=120) == 0
    assert only_run(root)[1].info.status == "FINISHED"
    assert steps_of(root, "loss/gan") == [10, 20, 30, 40]
    assert steps_of(root, "miou_segmenter_noresize_val") == [20, 40]


@pytest.mark.slow
def test_a_follower_leaves_when_its_training_died(root):
    log = begin(root)
    train(log, 10)
    training = subprocess.Popen([sys.executable, "-c", "pass"])
    training.wait()
    assert tracking.main(
        ["--root", str(root), "--stage", "teacher", "--log", str(log.path), "--follow-pid", str(training.pid)]
    ) == 0  # fmt: skip
    assert only_run(root)[1].info.status == "KILLED"
    assert steps_of(root, "loss/gan") == [10]


@pytest.mark.slow
def test_a_picture_that_was_cut_short_on_its_way_is_sent_again(root):
    train(begin(root), 10, 20)
    tracking.deliver(root)
    client, run = only_run(root)
    sent = Path(run.info.artifact_uri.removeprefix("file://")) / "samples/000020.png"
    whole = sent.read_bytes()
    sent.write_bytes(whole[:20])
    tracking.deliver(root)
    assert sent.read_bytes() == whole
    assert len(client.list_artifacts(run.info.run_id, "samples")) == 1


@pytest.mark.slow
def test_the_end_of_a_training_has_a_patience_of_its_own(root, monkeypatch):
    """However long the store was away before: here for three attempts, with a patience of two."""
    log = begin(root)
    train(log, 10)
    attempts = []

    def down(_):
        attempts.append(len(attempts))
        raise ConnectionError("down")

    monkeypatch.setattr(tracking, "BACKOFF_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(tracking, "connect", down)
    assert not tracking.follow(root, log.path, alive=lambda: len(attempts) < 3)
    assert len(attempts) == 3 + 3


class Forgetful(BaseHTTPRequestHandler):
    """A server that has an experiment and no runs, and makes one without ever answering."""

    made = 0

    def do_GET(self):
        self.answer({"experiment": {"experiment_id": "1", "name": EXPERIMENT, "lifecycle_stage": "active"}})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("runs/create"):
            Forgetful.made += 1
            self.close_connection = True
        else:
            self.answer({})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_request_whose_answer_is_lost_is_not_repeated_blindly(root, monkeypatch):
    """Who makes a run and hears nothing must look first whether it is there, or there will be two."""
    train(begin(root), 10)
    monkeypatch.setattr(tracking, "BACKOFF_SECONDS", ())
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    server = HTTPServer(("127.0.0.1", 0), Forgetful)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(UserError, match="cannot be reached"):
            tracking.deliver(root)
    finally:
        server.shutdown()
        server.server_close()
    assert Forgetful.made == 1
