"""The export stage on a tiny run: what it writes, and what it refuses without leaving anything behind."""

import dataclasses
import io
import zipfile

import numpy as np
import pytest
import test_evaluate
from PIL import Image

from stages import evaluate, export
from understudy.data.prepared import load_info, load_split
from understudy.errors import DATA_FAILED, UserError
from understudy.export import parity
from understudy.export.record import FILES, RECORD, read_record
from understudy.files import read_json, sha256, write_json
from understudy.gate import EVALUATION
from understudy.metrics import protocol
from understudy.metrics.protocol import MIOU
from understudy.params.export import Export
from understudy.stage import Job, main

KID = protocol.KID["labels"]

pytestmark = pytest.mark.slow
job = test_evaluate.job  # three networks of three classes and five test images, not evaluated yet


@pytest.fixture
def ready(job) -> Job:
    """The same, evaluated, with both formats asked for."""
    evaluate.run(job)
    return Job("export", job.root, job.sections | {Export: Export(("onnx", "int8"), 2)})


def asking_for(job: Job, *formats: str) -> Job:
    return dataclasses.replace(job, sections=job.sections | {Export: Export(formats, 2)})


def test_files_and_record_say_the_same_twice(ready):
    assert "student-int8.onnx" in export.plan(ready)["files"] and export.plan(ready)["calibration images"] == 2
    export.run(ready)
    found = read_record(ready.root, sha256(ready.root / EVALUATION))
    assert set(found["models"]) == set(FILES) == set(found["parity"]) == set(found["collapse"])
    for name in FILES:
        assert found["models"][name][MIOU]["n"] == 5 and KID in found["differences"][f"{name}_minus_baseline"]
        assert found["models"][name]["file_mb"]["value"] == (ready.root / FILES[name]).stat().st_size / 1e6
    own = read_json(ready.root / EVALUATION)["models"]["student"]
    assert found["models"]["int8"]["macs_true_g"] == own["macs_true_g"]
    assert found["parity"]["onnx"]["most"] <= 1
    assert found["models"]["onnx"][MIOU]["value"] == pytest.approx(own[MIOU]["value"], abs=0.01)
    timed = read_json(ready.scratch / "latency.json")
    assert set(timed["models"]) == {"student", *FILES} and timed["files"] == found["files"]
    export.run(ready)
    assert read_json(ready.root / RECORD) == found
    export.run(asking_for(ready, "onnx"))
    assert not (ready.root / FILES["int8"]).exists() and read_json(ready.root / RECORD)["int8"] is None
    export.run(asking_for(ready))
    assert read_json(ready.root / RECORD)["models"] == {} and not (ready.root / FILES["onnx"]).exists()


@pytest.mark.parametrize("kind", ["labels", "photos", "unpaired"])
def test_int8_is_calibrated_with_training_inputs_as_a_student_takes_them(kind, job):
    prepared = job.root / "artifacts/prepare"
    write_json(prepared / "dataset.json", {**read_json(prepared / "dataset.json"), "kind": kind})
    if kind != "labels":  # the pairs' label maps become photos of their own
        rng = np.random.default_rng(0)
        with zipfile.ZipFile(prepared / "train.zip", "w") as archive:
            for entry in ("input/0", "input/1", "input/2", "photo/0", "photo/1", "photo/2"):
                stream = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(stream, "PNG")
                archive.writestr(f"{entry}.png", stream.getvalue())
    info = load_info(prepared / "dataset.json")
    inputs = load_split(prepared / "train.zip", info).inputs
    chosen = export.calibration(asking_for(job, "onnx", "int8"), info)
    assert chosen.shape == ((2, 32, 32) if kind == "labels" else (2, 32, 32, 3)) and chosen.dtype == np.uint8
    known = [one.numpy() if kind == "labels" else one.permute(1, 2, 0).numpy() for one in inputs]
    assert all(any(np.array_equal(one, other) for other in known) for one in chosen)
    assert not np.array_equal(*chosen)


def test_a_file_that_is_not_the_student_fails_the_stage_and_stays_nowhere(ready, monkeypatch, capsys):
    monkeypatch.setattr(parity, "MOST_LEVELS", -1)
    (ready.root / "params.yaml").write_text(
        "base: {seed: 0}\nruntime: {device: cpu, precision: fp32}\n"
        "evaluate: {resamples: 40, latency_runs: 2, inception: null, segmentation: null}\n"
        "export: {formats: [onnx, int8], calibration_images: 2}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main("export", export.READS, export.plan, export.run, ["--root", str(ready.root)])
    assert ended.value.code == DATA_FAILED
    complaint = [line for line in capsys.readouterr().err.splitlines() if line.startswith("export: ")]
    assert len(complaint) == 1 and "student.onnx: is not the student" in complaint[0]
    assert list((ready.root / "artifacts/export").iterdir()) == []


def test_another_student_than_the_evaluated_one_is_named(ready):
    test_evaluate.network(ready.root / "artifacts/distill", 3)
    with pytest.raises(UserError, match=r"evaluation\.json: is of another student; run `dvc repro evaluate`"):
        export.run(ready)


def test_without_onnx_the_plan_says_what_to_do(ready, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx, onnxscript, onnxruntime.*understudy\[export\].*formats: \[\]"):
        export.plan(ready)
    assert export.plan(asking_for(ready)) == {"files": "none (export.formats)"}
