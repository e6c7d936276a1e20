"""The addresses of the server, over networks of a finished run that torch computes."""

import base64
import io
import json
import logging
import shutil
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from finished_run import CLASSES, HOSTILE, PALETTE, SIZE, finished_run
from PIL import Image

from understudy.errors import UserError
from understudy.serve.app import make_app
from understudy.serve.champion import Champion
from understudy.serve.limits import Limits
from understudy.serve.server import COMPARISONS
from understudy.serve.sources import FolderSource, Found, Meaning, source
from understudy.translator import Translator

LABELS = np.random.default_rng(3).integers(0, len(CLASSES), (21, 30), np.uint8)
STUDENT = "artifacts/distill/weights.safetensors"


class Moving:
    """An address that comes to mean another folder, as an alias of the registry does; or nothing, while `down`.

    fetched: the versions whose files were asked for. lost: whether they cannot be had.
    """

    address, moves = "models:/toys@champion", True

    def __init__(self, *roots: Path) -> None:
        self.roots, self.at, self.down = roots, 0, False
        self.fetched, self.lost = [], False

    def meaning(self) -> Meaning:
        if self.down:
            raise UserError("the registry cannot be reached")
        return Meaning(str(self.at + 1))

    def fetch(self, version: str, folder: Path) -> Found:
        self.fetched.append(version)
        (folder / "some").write_text("files")  # into an empty folder, whatever was there before
        if self.lost:
            raise UserError("the store broke off")
        return replace(FolderSource(self.roots[int(version) - 1], "student").fetch(version, folder), model="toys")


@contextmanager
def serving(what, root: Path, limits: Limits | None = None):
    """A client of a server in this process."""
    champion = Champion(what, root, None, 1)
    champion.start()
    with TestClient(make_app(champion, limits or Limits(), None), raise_server_exceptions=False) as client:
        client.champion = champion
        yield client
    champion.served.batcher.close()


@pytest.fixture(scope="module")
def client(run):
    with serving(source(run, "student"), run) as client:
        yield client


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def own(root: Path, name: str = "distill") -> Translator:
    folder = root / "artifacts"
    files = (folder / name / "arch.json", folder / name / "weights.safetensors", folder / "prepare/dataset.json")
    return Translator.load(*files)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_an_image_gives_the_photo_that_translate_gives(client, run):
    expected = own(run)(LABELS[None])[0]
    for picture in (LABELS, np.array(PALETTE, np.uint8)[LABELS]):
        answer = client.post("/translate", content=png(picture))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        np.testing.assert_array_equal(opened(answer.content), expected)
    assert answer.headers["x-model-version"] == client.get("/version").json()["version"]
    spent = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(spent) == ["decode", "queue", "translate", "encode"] and float(spent["translate"]) > 0
    jpeg = client.post("/translate", content=png(LABELS), headers={"accept": "image/jpeg"})
    assert jpeg.headers["content-type"] == "image/jpeg" and opened(jpeg.content).shape == expected.shape


def test_tensors_give_tensors_of_their_own_kind(client, run):
    inputs = np.stack([LABELS, LABELS[::-1]])
    expected = own(run)(inputs)
    answer = client.post("/tensors", content=npy(inputs))
    assert answer.headers["content-type"] == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), expected)
    answer = client.post("/tensors", json={"inputs": inputs.tolist()})
    np.testing.assert_array_equal(answer.json()["predictions"], expected)


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "reason"),
    [
        ("POST", "/translate", b"", {}, 400, "empty"),
        ("POST", "/translate", b"text", {}, 415, "not a PNG"),
        ("POST", "/translate", png(np.full((8, 8), 99, np.uint8)), {}, 422, "label value 99 out of range"),
        ("POST", "/translate", png(LABELS), {"accept": "text/html"}, 406, "image/png or image/jpeg"),
        ("POST", "/translate", b"x" * 9 * 2**20, {}, 413, "larger than 8,388,608 bytes"),
        ("POST", "/tensors", b"\x93NUMPY", {}, 422, "damaged header"),
        ("POST", "/compare?sample=nobody", b"", {}, 404, "no sample 'nobody'"),
        ("GET", "/translate", b"", {}, 405, "Method Not Allowed"),
        ("GET", "/etc/passwd", b"", {}, 404, "Not Found"),
        ("GET", "/docs", b"", {}, 404, "Not Found"),
    ],
)  # fmt: skip
def test_bad_requests_are_told_why_in_json(client, method, path, content, headers, status, reason):
    answer = client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(client):
    sent = 0

    def endless():
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"x" * 2**16

    answer = client.post("/translate", content=endless())
    assert answer.status_code == 413


def test_health_version_and_metrics(client, run):
    assert client.get("/health").json() == {"status": "ok"}
    version = client.get("/version").json()
    assert client.get("/ready").json() == {"status": "ready", "version": version["version"]}
    assert (version["model"], version["runtime"]["name"]) == ("student", "torch")
    assert "without an ONNX file" in version["runtime"]["note"]
    assert len(version["sha256"]["weights"]) == 64 and set(version["sha256"]) == {"arch", "weights", "dataset"}
    assert version["data"]["classes"] == list(CLASSES) and version["limits"]["pixels"] == Limits().pixels
    client.get("/nothing/of/the/kind")
    text = client.get("/metrics").text
    assert 'understudy_requests_total{path="/health",status="200"} 1.0' in text
    assert 'path="other",status="404"' in text and "/nothing" not in text
    assert f'understudy_model{{model="student",runtime="torch",version="{version["version"]}"}} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_a_bug_is_a_500_that_tells_nothing(run):
    def fails(inputs):
        raise ArithmeticError("secret")

    with serving(source(run, "student"), run) as client:
        client.champion.served.batcher._translate = fails
        answer = client.post("/translate", content=png(LABELS))
        assert answer.status_code == 500 and answer.json() == {"error": "the server failed; its log says more"}
        assert client.get("/health").status_code == 200


class Gate:
    """Holds a network's translations until it is opened."""

    def __init__(self, translate) -> None:
        self.translate, self.begun, self.open = translate, threading.Event(), threading.Event()

    def __call__(self, inputs):
        self.begun.set()
        assert self.open.wait(30)
        return self.translate(inputs)


def test_more_requests_than_it_works_on_are_sent_away_and_may_come_again(run):
    with serving(source(run, "student"), run, Limits(requests=2)) as client, ThreadPoolExecutor(2) as threads:
        batcher = client.champion.served.batcher
        batcher._translate = gate = Gate(batcher._translate)
        held = [threads.submit(client.post, "/translate", content=png(LABELS)) for _ in range(2)]
        deadline = time.monotonic() + 30
        while client.get("/ready").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        sent_away = client.post("/translate", content=png(LABELS))
        assert (sent_away.status_code, sent_away.headers["retry-after"]) == (503, "1")
        assert "2 requests are being worked on" in sent_away.json()["error"]
        assert client.get("/health").status_code == 200
        gate.open.set()
        assert [answer.result().status_code for answer in held] == [200, 200]
        assert client.post("/translate", content=png(LABELS)).status_code == 200


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("other"), seed=1)


def test_another_version_takes_over_while_a_request_ends_with_the_old_one(run, other_run):
    moving = Moving(run, other_run)
    with serving(moving, run) as client, ThreadPoolExecutor(1) as threads:
        old = client.champion.served
        old.batcher._translate = gate = Gate(old.batcher._translate)
        held = threads.submit(client.post, "/translate", content=png(LABELS))
        assert gate.begun.wait(30)
        moving.at = 1
        client.champion.look()
        new = client.post("/translate", content=png(LABELS))
        assert new.headers["x-model-version"] == "2" and not held.done()
        np.testing.assert_array_equal(opened(new.content), own(other_run)(LABELS[None])[0])
        gate.open.set()
        assert held.result().headers["x-model-version"] == "1"
        np.testing.assert_array_equal(opened(held.result().content), own(run)(LABELS[None])[0])
        old.batcher._thread.join(30)
        assert not old.batcher.alive, "the old one is let go when nobody uses it any more"
        assert client.get("/version").json()["registry"]["takeovers"] == 1
        moving.at = 0  # a rollback is a takeover like any other
        client.champion.look()
        assert client.get("/ready").json()["version"] == "1"


def test_the_old_version_goes_on_when_the_registry_or_the_new_one_fails(run, tmp_path, caplog, monkeypatch):
    # Whatever another test's library has done to logging.
    monkeypatch.setattr(logging.getLogger("understudy.serve"), "disabled", False)
    caplog.set_level(logging.WARNING, "understudy.serve")
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / STUDENT).write_bytes(b"no weights")
    moving = Moving(run, broken)
    with serving(moving, run) as client:
        for change in ({"down": True}, {"down": False, "at": 1}):
            vars(moving).update(change)
            client.champion.look()
            client.champion.look()
            told = client.get("/version").json()
            assert told["version"] == "1" and told["registry"]["takeovers"] == 0
            assert client.post("/translate", content=png(LABELS)).status_code == 200
            wanted = "cannot be reached" if moving.down else "weights.safetensors"
            assert wanted in told["registry"]["problem"]
        assert sum("goes on being served" in entry.message for entry in caplog.records) == 2, "each problem once"
        moving.at = 0
        client.champion.look()
        assert client.get("/version").json()["registry"]["problem"] is None


def test_a_version_that_fails_is_brought_once_and_tried_ever_less_often(run, other_run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / STUDENT).write_bytes(b"no weights")
    moving = Moving(run, broken, other_run)

    def looks(client, count: int) -> int:
        """How often it has failed after so many more looks."""
        for _ in range(count):
            client.champion.look()
        told = client.get("/version").json()["registry"]
        assert told["problem"] and "understudy_registry_problem 1.0" in client.get("/metrics").text
        return told["failed_attempts"]

    with serving(moving, run) as client:
        moving.at, moving.fetched = 1, []
        assert [looks(client, count) for count in (1, 1, 1, 1, 3, 1, 7, 1)] == [1, 2, 2, 3, 3, 4, 4, 5]
        assert moving.fetched == ["2"], "its files were all there, and are not fetched again"
        assert looks(client, 1000) == 14, "and never less often than every 128 looks"
        moving.down = True
        assert looks(client, 1) == 14
        moving.down = False
        # Another version is tried at once; of one that came in parts nothing is kept.
        moving.at, moving.lost = 2, True
        assert looks(client, 2) == 2 and moving.fetched == ["2", "3", "3"]
        moving.lost = False
        for _ in range(2):
            client.champion.look()
        told = client.get("/version").json()
        assert (told["version"], told["registry"]["problem"], told["registry"]["failed_attempts"]) == ("3", None, 0)
        assert "understudy_registry_problem 0.0" in client.get("/metrics").text
        moving.at, moving.fetched = 1, []
        assert looks(client, 1) == 1 and moving.fetched == ["2"], "what was kept of it has gone meanwhile"


def test_comparisons_take_no_room_from_other_requests(run):
    with serving(source(run, "student"), run, Limits(requests=1)) as client, ThreadPoolExecutor(16) as threads:
        served = client.champion.served
        gate = Gate(served.network.translate)
        served.network = replace(served.network, translate=gate)
        asked = [threads.submit(client.post, "/compare?sample=test-1") for _ in range(COMPARISONS + 1)]
        (refused,), held = wait(asked, timeout=60, return_when=FIRST_COMPLETED)
        assert refused.result().status_code == 503 and refused.result().headers["retry-after"] == "1"
        assert f"{COMPARISONS} comparisons are being made" in refused.result().json()["error"]
        assert gate.begun.wait(30) and client.get("/ready").status_code == 200
        assert client.post("/translate", content=png(LABELS)).status_code == 200
        gate.open.set()
        assert [one.result().status_code for one in held] == [200] * COMPARISONS
        assert client.post("/compare?sample=test-1").status_code == 200


def test_the_page_runs_its_own_script_and_nothing_else(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
    assert HOSTILE not in answer.text and answer.text.count("<script>") == 1
    assert 'data-sample="test-0"' in answer.text and answer.text.count('class="tile sample"') == 3


def test_a_sample_is_compared_with_the_teacher_of_the_verdict(client, run):
    found = client.post("/compare?sample=test-1").json()
    assert found["size"] == f"{SIZE[1]} x {SIZE[0]}" and found["titles"] == ["label map", "real photo"]
    for name, folder in {"teacher": "teacher", "student": "distill"}.items():
        shown = opened(base64.b64decode(found[name]["photo"].partition(",")[2]))
        sample = client.champion.served.comparison.samples["test-1"]
        np.testing.assert_array_equal(shown, own(run, folder)(sample.inputs[None])[0])
        assert found[name]["ms"] > 0 and found[name]["by"].startswith("torch")
    upload = client.post("/compare", content=png(LABELS)).json()
    assert upload["real"] is None and upload["size"] == "30 x 21"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root: (root / "artifacts/teacher/weights.safetensors").unlink(), "weights.safetensors is not there"),
        (lambda root: shutil.copy(root / STUDENT, root / "artifacts/teacher/weights.safetensors"),
         "is not the teacher"),
        (lambda root: (root / "artifacts/gate/verdict.json").unlink(), "has a verdict on this student"),
        (lambda root: shutil.copy(root / "artifacts/baseline/weights.safetensors", root / STUDENT),
         "has a verdict on this student"),
    ],
    ids=["absent", "another", "no verdict", "another student"],
)  # fmt: skip
def test_a_teacher_that_is_not_the_student_s_is_not_shown(run, tmp_path, change, reason):
    root = shutil.copytree(run, tmp_path / "run")
    change(root)
    with serving(source(root, "student"), root) as client:
        found = client.post("/compare?sample=test-1").json()
        assert reason in found["teacher"]["absent"] and "photo" in found["student"]
        assert reason in client.get("/version").json()["teacher"]


def test_without_a_run_at_hand_stripes_are_the_sample(run, tmp_path):
    with serving(Moving(run), tmp_path) as client:
        found = client.post("/compare?sample=stripes").json()
        assert "no run is at hand" in found["teacher"]["absent"]
        assert json.dumps(found).count("data:image") == 2
