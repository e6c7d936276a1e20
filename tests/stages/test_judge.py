"""The judge stage on a handful of prepared pairs."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from three_kinds import write_prepared

from stages import judge
from understudy import stage
from understudy.data.checked import mark
from understudy.data.manifest import write_manifest
from understudy.data.prepared import load_info
from understudy.errors import DATA_FAILED
from understudy.files import write_json
from understudy.metrics.judge import load_judge
from understudy.metrics.protocol import JUDGES
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime
from understudy.train.log import read

CLASSES = ["road", "sky", "void"]
PARAMS = """
judge: {seed: 7, width: 4, steps: 12, batch_size: 4, learning_rate: 0.004}
runtime: {device: cpu, precision: auto}
"""


def split(path: Path, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(count):
            label = np.kron(random.integers(0, 3, (4, 6)), np.ones((8, 8))).astype(np.uint8)  # [32, 48]
            photo = (label[..., None] * 80 + random.integers(0, 60, (32, 48, 3))).astype(np.uint8)
            for folder, pixels in (("photo", photo), ("input", label)):
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "PNG")
                archive.writestr(f"{folder}/{index:04}.png", stream.getvalue())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    prepared = tmp_path / "artifacts" / "prepare"
    counts = {"train": 12, "val": 6, "test": 6}
    palette = [[90, 90, 90], [80, 80, 200], [0, 0, 0]]
    write_json(prepared / "dataset.json", {
        "schema": 2, "name": "tiny", "kind": "labels", "size": [32, 48], "classes": CLASSES, "palette": palette,
        "ignore": 2, "licence": "none", "counts": counts,
    })  # fmt: skip
    for seed, (name, count) in enumerate(counts.items()):
        split(prepared / f"{name}.zip", count, seed)
    write_manifest(prepared / "manifest.csv", [])
    passed(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def passed(root: Path) -> None:
    """The mark that the check leaves."""
    write_json(root / "artifacts/check/result.json", {"data": mark(stage.Job("check", root, {}))})


def arguments(root: Path) -> list[str]:
    return ["--params", str(root / "params.yaml"), "--root", str(root)]


@pytest.mark.slow
def test_makes_a_judge_and_says_how_good_it_is(root):
    command = [sys.executable, "-m", "stages.judge", *arguments(root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((root / "artifacts/judge/metrics.json").read_text())
    assert 0 <= metrics["miou_segmenter_noresize_val"] <= 1
    score = metrics["miou_segmenter_noresize_val"]
    assert f"miou_segmenter_noresize_val {score:.3f} of 6 real photos" in done.stdout
    assert "12/12  loss" in done.stdout
    net = load_judge(root / "artifacts/judge", load_info(root / "artifacts/prepare/dataset.json"))
    assert (net.num_classes, net.width) == (3, 4)
    (log,) = (root / ".understudy/judge").glob("*/log.jsonl")
    records = list(read(log))
    assert records[0]["event"] == "start" and records[0]["stage"] == "judge" and records[0]["steps"] == 12
    assert records[0]["fingerprint"] == log.parent.name and records[0]["params"]["judge"]["width"] == 4
    assert [r["step"] for r in records if r["event"] == "step"] == [10, 12]
    assert all(r["losses"]["cross_entropy"] > 0 and r["rate"] > 0 for r in records if r["event"] == "step")
    scores = [r["metrics"]["miou_segmenter_noresize_val"] for r in records if r["event"] == "validation"]
    assert records[-1]["event"] == "end" and max(scores) == metrics["miou_segmenter_noresize_val"]
    assert records[-1]["metrics"] == {"miou_segmenter_noresize_val": metrics["miou_segmenter_noresize_val"]}


def test_dry_run_prints_the_plan_and_writes_nothing(root, capsys):
    with pytest.raises(SystemExit) as left:
        stage.main("judge", judge.READS, judge.plan, judge.run, [*arguments(root), "--dry-run"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "training images: 12" in printed
    assert "judge.steps: 12" in printed
    assert " G a photo" in printed and "s a step, just timed" in printed
    assert not (root / ".understudy").exists()
    assert not (root / "artifacts/judge").exists()


@pytest.mark.parametrize("changed", ["prepare/manifest.csv", "prepare/dataset.json"])
def test_data_that_were_prepared_anew_are_to_be_checked_anew(changed, root, capsys):
    path = root / "artifacts" / changed
    path.write_text(path.read_text() + "\n")
    with pytest.raises(SystemExit) as left:
        stage.main("judge", judge.READS, judge.plan, judge.run, arguments(root))
    assert left.value.code == DATA_FAILED
    assert "dvc repro check" in capsys.readouterr().err
    assert not (root / "artifacts/judge").exists()


def test_a_missing_split_is_named(root, capsys):
    (root / "artifacts/prepare/val.zip").unlink()
    with pytest.raises(SystemExit) as left:
        stage.main("judge", judge.READS, judge.plan, judge.run, arguments(root))
    assert left.value.code == 2
    assert "val.zip: missing" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "name"), [
    ("photos", "l1_to_input_inverter_noresize_val"), ("unpaired", "accuracy_classifier_noresize_val"),
])  # fmt: skip
def test_other_kinds_of_data_have_other_judges(kind, name, tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_TRACKING", "off")
    info = write_prepared(tmp_path, kind)
    sections = {Judge: Judge(7, 4, 12, 4, 0.004), Runtime: Runtime("cpu", "fp32")}
    job = stage.Job("judge", tmp_path, sections)
    assert judge.plan(job)["judge"] == JUDGES[kind]
    judge.run(job)
    metrics = json.loads((tmp_path / "artifacts/judge/metrics.json").read_text())
    assert list(metrics) == [name] and 0 <= metrics[name] <= 1
    assert load_judge(tmp_path / "artifacts/judge", info).kind == kind
    (log,) = (tmp_path / ".understudy/judge").glob("*/log.jsonl")
    scores = [record["metrics"][name] for record in read(log) if record["event"] == "validation"]
    assert (min if kind == "photos" else max)(scores) == metrics[name]
