"""The real server over a real registry: load, spoilt uploads, a takeover and an outage in the middle of it, its end."""

import http.client
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from free_ports import free_port
from fuzzed_uploads import fuzzed, npy, png
from PIL import Image
from served_champion import ADDRESS, CLASSES, MODEL, label_map, promote_student, student

from benchmarks.load import Request, drive
from benchmarks.server import PATIENCE, Server
from understudy.adapters.mlflow import connect
from understudy.cli import main
from understudy.errors import BAD_INPUT, OK
from understudy.export.parity import MOST_LEVELS
from understudy.serve.limits import Limits

pytestmark = pytest.mark.slow
GROWTH = 40.0  # MB that the memory may grow by from the first requests on: caches and pools fill up once


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with a store, and in it a champion with an ONNX file."""
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert promote_student(root, seed=0) == "1"
        yield root


@pytest.fixture(scope="module")
def server(root):
    server = Server(root / "serve.log", ADDRESS, "--root", str(root), "--every", "1", "--threads", "1")
    yield server
    server.kill()


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def requests(count: int) -> list[Request]:
    """Images of three sizes, and tensors."""
    bodies = [("/translate", png(label_map(seed, size))) for seed, size in enumerate([(24, 20), (24, 20), (31, 17)])]
    bodies.append(("/tensors", npy(np.stack([label_map(7), label_map(8)]))))
    return [Request(*bodies[index % len(bodies)]) for index in range(count)]


def test_it_serves_the_exported_file_and_says_so(server, root):
    said = server.get("/version")
    assert (said["model"], said["version"], said["runtime"]["name"]) == (MODEL, "1", "onnx")
    assert said["runtime"]["threads"] == 1 and "onnx" in said["sha256"]
    assert said["metrics"] and said["tags"]["weights_sha256"] == said["sha256"]["weights"]
    assert "version 1" in server.log.read_text() and "ONNX Runtime" in server.log.read_text()
    answers = {}
    drive(server.port, [Request("/translate", png(label_map(seed, (31, 17)))) for seed in range(20)], 8,
          lambda index, answer: answers.update({index: answer}))  # fmt: skip
    own = student(root)
    for seed, answer in answers.items():
        expected = own(label_map(seed, (31, 17))[None])[0].astype(int)
        assert np.abs(pixels(answer.body) - expected).max() <= MOST_LEVELS, "whatever batch it was in"


def test_many_requests_and_spoilt_uploads_end_in_no_5xx_and_no_growth(server):
    drive(server.port, requests(100), 8)
    drive(server.port, fuzzed(100, CLASSES, seed=1), 4)
    before = server.megabytes()
    load = drive(server.port, requests(500), 8)
    assert load.statuses == {200: 500}, load.reasons
    bad, silent = Counter(), []

    def note(index, answer):
        bad[answer.status] += 1
        if answer.status >= 400 and b'"error":"' not in answer.body:
            silent.append((index, answer.status, answer.body[:80]))

    spoilt = drive(server.port, fuzzed(200, CLASSES, seed=0), 4, note)
    assert not [status for status in bad if status >= 500] and 0 not in bad, (bad, spoilt.reasons)
    assert not silent, "every refusal gives its reason"
    assert sum(bad[status] for status in (400, 413, 415, 422)) > 80, bad
    assert server.megabytes() - before < GROWTH
    assert server.get("/health") == {"status": "ok"}


def test_a_body_that_is_too_large_is_refused_without_being_kept(server):
    before = server.megabytes()
    answers = []
    drive(server.port, [Request("/translate", b"\x89PNG" + bytes(5 * Limits().bytes))], 1,
          lambda _, answer: answers.append(answer))  # fmt: skip
    assert answers[0].status == 413 and b"larger than 8,388,608 bytes" in answers[0].body
    assert server.megabytes() - before < GROWTH


def test_a_new_champion_takes_over_under_load_and_an_outage_changes_nothing(server, root):
    stop, loads = threading.Event(), []

    def keep_asking():
        while not stop.is_set():
            loads.append(drive(server.port, requests(40), 4))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        with closing(sqlite3.connect(root / "mlflow.db")) as store:
            store.execute("BEGIN EXCLUSIVE")  # nobody else can read it until this is over
            wait_until(lambda: server.get("/version")["registry"]["problem"])
            assert server.get("/ready")["version"] == "1"
        assert promote_student(root, seed=1, exported=False) == "2"
        wait_until(lambda: server.get("/ready")["version"] == "2")
    finally:
        stop.set()
        asking.join()
    after = drive(server.port, requests(40), 4)
    statuses = sum((load.statuses for load in loads), Counter())
    versions = sum((load.versions for load in loads), Counter())
    assert set(statuses) == {200}, [load.reasons for load in loads]
    assert versions["1"] > 0 and set(versions) <= {"1", "2"} and set(after.versions) == {"2"}
    said = server.get("/version")
    assert said["registry"] | {"last_looked": ""} == {
        "every_seconds": 1, "last_looked": "", "problem": None, "failed_attempts": 0, "takeovers": 1
    }  # fmt: skip
    assert said["runtime"]["name"] == "torch" and "without an ONNX file" in said["runtime"]["note"]


def wait_until(happened) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_cannot_be_served_is_one_clear_line(root, server, capsys):
    for arguments, said in (
        (["models:/nobody@champion"], "models:/nobody@champion: not found"),
        (["nobody"], "nobody: expected teacher, student, baseline or models:/NAME@ALIAS"),
        ([f"models:/{MODEL}/2", "--runtime", "onnx"], "there is no onnx file with it"),
        ([ADDRESS, "--port", str(server.port)], "--port 0 takes a free one"),
    ):
        assert main(["serve", "--root", str(root), "--port", "0", *arguments]) == BAD_INPUT
        assert said in capsys.readouterr().err


def test_sigterm_ends_it_once_the_requests_in_progress_are_answered(server):
    """One request that has sent half of its body, and then a signal."""
    body = png(label_map(3, (300, 300)))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.putrequest("POST", "/translate")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:100])
    wait_until(lambda: "understudy_requests_in_progress 1.0" in metrics(server.port))
    codes = []
    ending = threading.Thread(target=lambda: codes.append(server.terminate()))
    ending.start()
    wait_until(lambda: refuses(server.port))
    connection.send(body[100:])
    answer = connection.getresponse()
    assert answer.status == 200 and pixels(answer.read()).shape == (300, 300, 3)
    ending.join()
    assert codes == [OK], server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        return answer.read().decode()


def refuses(port: int, path: str = "/health") -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE).close()
    except OSError:
        return True
    return False


def test_mlflow_serves_the_champion_too(root, tmp_path):
    """`mlflow models serve`, without an environment of its own."""
    uri, port = connect(root).uri, free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", ADDRESS, "--env-manager", "local",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # where it looks for uvicorn
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    promote_student(root, seed=9)
    labels = np.stack([label_map(5), label_map(6)])
    with (tmp_path / "mlflow.log").open("w") as output:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output, start_new_session=True)  # fmt: skip
    try:

        def is_up() -> bool:
            assert process.poll() is None, (tmp_path / "mlflow.log").read_text()
            return not refuses(port, "/ping")

        wait_until(is_up)
        body = json.dumps({"inputs": labels.tolist()}).encode()
        answers = []
        drive(port, [Request("/invocations", body, {"Content-Type": "application/json"})], 1,
              lambda _, answer: answers.append(answer))  # fmt: skip
        assert answers[0].status == 200, answers[0].body
        np.testing.assert_array_equal(json.loads(answers[0].body)["predictions"], student(root)(labels))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
