"""The export stage on a tiny run: what it writes, and what it refuses without leaving anything behind."""

import dataclasses
import hashlib
import io
import zipfile

import numpy as np
import onnx_segmentation
import pytest
import test_evaluate
import torch
from PIL import Image
from torch import Tensor

from stages import evaluate, export
from understudy.data.prepared import load_info, load_split
from understudy.errors import DATA_FAILED, UserError
from understudy.export import parity
from understudy.export.record import FILES, RECORD, read_record
from understudy.files import read_json, sha256, write_json
from understudy.gate import EVALUATION, judge, read_evaluation
from understudy.metrics import inception_scoring, protocol
from understudy.metrics.protocol import L1_TO_TEACHER, MIOU
from understudy.metrics.segmentation_network import SegmentationNetwork
from understudy.params.evaluate import Evaluate, Inception
from understudy.params.export import Export
from understudy.params.gate import Gate
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


@pytest.mark.parametrize(("name", "stage"), [("student", "distill"), ("teacher", "teacher")])
def test_another_network_than_the_evaluated_one_is_named(name, stage, ready):
    test_evaluate.network(ready.root / f"artifacts/{stage}", 3)
    with pytest.raises(UserError, match=rf"evaluation\.json: is of another {name}; run `dvc repro evaluate`"):
        export.run(ready)


@pytest.fixture
def looked(monkeypatch) -> list[tuple[str, Tensor]]:
    """A stand-in of Inception, whose features are an image's mean colours; every look at images, and by whom."""
    seen: list[tuple[str, Tensor]] = []

    def features(net, photos, how):
        seen.append(("inception", photos))
        return [photos.float().flatten(2).mean(2)]  # [N, 3]

    monkeypatch.setattr(inception_scoring, "load_inception", lambda data, where: torch.nn.Identity())
    monkeypatch.setattr(inception_scoring, "features", features)
    see = SegmentationNetwork.see
    monkeypatch.setattr(
        SegmentationNetwork, "see", lambda net, photos: seen.append(("onnx", photos)) or see(net, photos)
    )
    return seen


def test_a_file_is_scored_by_all_that_the_student_is_and_judged_by_it(job, looked):
    path = onnx_segmentation.channels(job.root / "net.onnx")
    (job.root / "weights.pth").write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    inception = Inception(str(job.root / "weights.pth"), digest, ("bilinear299",), ("test", "train_test"))
    asked = Evaluate(40, 2, inception, onnx_segmentation.asked(path))
    job = dataclasses.replace(job, sections=job.sections | {Evaluate: asked})
    evaluate.run(job)
    ready = asking_for(job, "onnx")
    assert "for the networks that evaluate names (just timed)" in export.plan(ready)["expected time"]
    looked.clear()
    export.run(ready)
    assert [who for who, _ in looked] == ["onnx", "inception"] and torch.equal(looked[0][1], looked[1][1])

    evaluation, digest = read_evaluation(job.root)
    record = read_record(job.root, digest)
    student, found = evaluation["models"]["student"], record["models"]["onnx"]
    assert set(found) == set(student) - {"peak_activation_mb"}
    for other in ("teacher", "baseline"):
        assert set(record["differences"][f"onnx_minus_{other}"]) == set(
            evaluation["differences"][f"student_minus_{other}"]
        )
    named = [name for name in found if "_inception" in name or "_onnx" in name]
    assert len(named) == 5 and {*named, L1_TO_TEACHER} <= set(record["differences"]["onnx_minus_student"])
    for name in (*named, L1_TO_TEACHER):
        assert found[name]["value"] == pytest.approx(student[name]["value"], abs=0.02, rel=0.02)
        assert found[name]["low"] <= found[name]["high"] and found[name]["n"] == 5

    (distance,) = (name for name in named if name.endswith("_train_test"))
    (miou,) = (name for name in named if name.startswith("miou"))
    least = found[distance]["value"]
    for bound, outcome in ((least * 1.01, True), (least * 0.99, False)):
        policy = {distance: {"max": bound}, miou: {"min": 0.0, "max_worse_than_baseline": 1.0}}
        verdict = judge(Gate.parse(policy, "params.yaml: gate"), evaluation, digest, record).exports["onnx"]
        rules = {(rule.metric, rule.rule): rule for rule in verdict.rules}
        assert rules[distance, "max"].outcome == ("passed" if outcome else "failed")
        assert "export.json: models.onnx." in rules[distance, "max"].message
        assert rules[miou, "min"].outcome == rules[miou, "max_worse_than_baseline"].outcome == "passed"
        assert rules[miou, "max_worse_than_baseline"].interval is not None


def test_without_onnx_the_plan_says_what_to_do(ready, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx, onnxscript, onnxruntime.*understudy\[export\].*formats: \[\]"):
        export.plan(ready)
    assert export.plan(asking_for(ready)) == {"files": "none (export.formats)"}
