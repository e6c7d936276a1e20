import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ARTIFACTS = ["dataset.json", "manifest.csv", "samples.png", "test.zip", "train.zip", "val.zip"]


def stage(tmp_path: Path, root: str, *options: str, source: Path | None = None) -> subprocess.CompletedProcess:
    streets = tmp_path / "streets.yaml"
    streets.write_text("{drawn: street-scenes, seed: 1, train: 3, val: 2, test: 2, licence: CC0-1.0}")
    params = tmp_path / "params.yaml"
    given = {
        "source": str(source or streets),
        "kind": "labels",
        "direction": None,
        "instances": False,
        "size": [32, 48],
        "load_size": None,
    }
    params.write_text(yaml.safe_dump({"prepare": given}))
    command = [sys.executable, "-m", "stages.prepare", "--params", params, "--root", tmp_path / root, *options]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for root in ("a", "b"):
        done = stage(tmp_path, root)
        assert done.returncode == 0, done.stderr
        assert "7/7 read" in done.stderr
    first, second = (tmp_path / root / "artifacts" / "prepare" for root in ("a", "b"))
    assert sorted(path.name for path in first.iterdir()) == ARTIFACTS
    for name in ARTIFACTS:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    with zipfile.ZipFile(first / "train.zip") as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert len(archive.namelist()) == 6
    rows = list(csv.DictReader((first / "manifest.csv").open(encoding="utf-8")))
    assert [row["split"] for row in rows] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert len({row["photo_sha256"] for row in rows}) == len({row["name"] for row in rows}) == 7
    assert {(row["width"], row["height"]) for row in rows} == {("48", "32")}


def test_dry_run_prints_counts_and_writes_nothing(tmp_path: Path) -> None:
    done = stage(tmp_path, "root", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "expected time: " in done.stdout and "layout: drawn" in done.stdout
    assert "3 train, 2 val, 2 test" in done.stdout and "32 x 48" in done.stdout and "CC0-1.0" in done.stdout
    assert not (tmp_path / "root").exists()


def test_bad_source_exits_with_2_and_leaves_its_reason(tmp_path: Path) -> None:
    done = stage(tmp_path, "root", source=tmp_path / "nowhere.zip")
    assert done.returncode == 2
    assert "nowhere.zip: no such file or folder" in done.stderr and "Traceback" not in done.stderr
    status = json.loads((tmp_path / "root" / ".understudy" / "status" / "prepare.json").read_text())
    assert status["code"] == 2 and "nowhere.zip" in status["reason"]
    assert not (tmp_path / "root" / "artifacts").exists()
