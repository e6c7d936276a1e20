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

from stages import judge
from understudy import stage
from understudy.files import write_json
from understudy.metrics.judge import load_judge

CLASSES = ["road", "sky", "void"]
PARAMS = """
judge: {seed: 7, width: 4, steps: 12, batch_size: 4, learning_rate: 0.004}
runtime: {device: cpu, precision: bf16}
"""


def split(path: Path, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(count):
            label = np.kron(random.integers(0, 3, (4, 6)), np.ones((8, 8))).astype(np.uint8)  # [32, 48]
            photo = (label[..., None] * 80 + random.integers(0, 60, (32, 48, 3))).astype(np.uint8)
            for folder, pixels in (("photo", photo), ("label", label)):
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "PNG")
                archive.writestr(f"{folder}/{index:04}.png", stream.getvalue())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    prepared = tmp_path / "artifacts" / "prepare"
    counts = {"train": 12, "val": 6, "test": 6}
    palette = [[90, 90, 90], [80, 80, 200], [0, 0, 0]]
    write_json(prepared / "dataset.json", {
        "schema": 1, "name": "tiny", "size": [32, 48], "classes": CLASSES, "palette": palette,
        "ignore": 2, "licence": "none", "counts": counts,
    })  # fmt: skip
    for seed, (name, count) in enumerate(counts.items()):
        split(prepared / f"{name}.zip", count, seed)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def arguments(root: Path) -> list[str]:
    return ["--params", str(root / "params.yaml"), "--root", str(root)]


@pytest.mark.slow
def test_makes_a_judge_and_says_how_good_it_is(root):
    command = [sys.executable, "-m", "stages.judge", *arguments(root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((root / "artifacts/judge/metrics.json").read_text())
    assert 0 <= metrics["miou_val"] <= 1
    assert f"mIoU {metrics['miou_val']:.3f} on 6 real validation photos" in done.stdout
    assert "12/12  loss" in done.stdout
    net = load_judge(root / "artifacts/judge")
    assert (net.num_classes, net.width) == (3, 4)


def test_dry_run_prints_the_plan_and_writes_nothing(root, capsys):
    with pytest.raises(SystemExit) as left:
        stage.main("judge", judge.READS, judge.plan, judge.run, [*arguments(root), "--dry-run"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "training pairs: 12" in printed
    assert "judge.steps: 12" in printed
    assert not (root / "artifacts/judge").exists()


def test_a_missing_split_is_named(root, capsys):
    (root / "artifacts/prepare/val.zip").unlink()
    with pytest.raises(SystemExit) as left:
        stage.main("judge", judge.READS, judge.plan, judge.run, arguments(root))
    assert left.value.code == 2
    assert "val.zip: missing" in capsys.readouterr().err
