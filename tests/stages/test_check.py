"""The stage on small manifests, each broken in one way. What runs Great Expectations is slow."""

import csv
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages import check as stage
from understudy import stage as frame
from understudy.data import expectations
from understudy.data.leakage import duplicates
from understudy.data.manifest import COLUMNS
from understudy.data.prepared import DatasetInfo
from understudy.errors import DATA_FAILED, OK, UserError
from understudy.files import sha256
from understudy.params.check import Check
from understudy.params.loader import parse

COUNTS = {"train": 12, "val": 4, "test": 6}
SETTINGS = {
    "min_images": {"train": 10, "val": 4, "test": 5},
    "min_class_images": {"train": 3, "val": 1, "test": 1},
    "photo_modes": ["RGB"],
    "label_modes": ["P", "L"],
    "max_upscale": 1.0,
    "near_duplicate_bits": 3,
    "near_duplicate_tone": 0.01,
    "max_repeated": 0.0,
    "brightness": [0.1, 0.9],
    "colour": [0.05, 0.95],
    "min_contrast": 0.05,
}
CHECK = parse(Check, SETTINGS, "check")
INFO = {
    "schema": 2,
    "name": "tiny",
    "kind": "labels",
    "size": [16, 24],
    "classes": ["sky", "road", "void"],
    "palette": [[0, 0, 255], [90, 90, 90], [0, 0, 0]],
    "ignore": 2,
    "licence": "CC0-1.0",
    "counts": COUNTS,
}

Row = dict[str, str]


def rows() -> list[Row]:
    """A manifest that meets every expectation; class 2, `void`, is ignored and never seen."""
    made = []
    generator = random.Random(0)
    for split, count in COUNTS.items():
        for index in range(count):
            name = f"{split} ä{index}"
            tone = {
                channel: f"{0.3 + 0.4 * generator.random():.6f}" for channel in ("brightness", "red", "green", "blue")
            }
            made.append({
                "name": name, "path": f"{split}/photo/{index}.jpg", "split": split, "side": "photo",
                "width": "24", "height": "16",
                "source_width": "24", "source_height": "32", "source_mode": "RGB", "label_mode": "P",
                "photo_sha256": hashlib.sha256(name.encode()).hexdigest(),
                "label_sha256": hashlib.sha256(b"label" + name.encode()).hexdigest(), **tone, "contrast": "0.200000",
                "dhash": f"{generator.getrandbits(64):016x}", "classes": "0 1", "licence": "CC0-1.0",
            })  # fmt: skip
    return made


def write(root: Path, table: list[Row], info: dict | None = None) -> Path:
    """Prepared artifacts with that manifest, and a parameter file, whose path is returned."""
    folder = root / "artifacts" / "prepare"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    (folder / "dataset.json").write_text(json.dumps(info or INFO), encoding="utf-8")
    params = root / "params.yaml"
    params.write_text(yaml.safe_dump({"check": SETTINGS}), encoding="utf-8")
    return params


def run(root: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        frame.main(
            "check", stage.READS, stage.plan, stage.run,
            ["--params", str(root / "params.yaml"), "--root", str(root), *arguments],
        )  # fmt: skip
    return exit_.value.code


def result(root: Path) -> Path:
    return root / "artifacts" / "check" / "result.json"


def edit(index: int, **cells: str) -> Callable[[list[Row]], None]:
    return lambda table: table[index].update(cells)


def copy(source: int, target: int, *columns: str) -> Callable[[list[Row]], None]:
    return lambda table: table[target].update({column: table[source][column] for column in columns})


def flip(source: int, target: int, bits: int) -> Callable[[list[Row]], None]:
    """The target gets the source's tone and its difference hash with so many bits flipped."""

    def change(table: list[Row]) -> None:
        copy(source, target, *expectations.TONE)(table)
        table[target]["dhash"] = f"{int(table[source]['dhash'], 16) ^ (2**bits - 1):016x}"

    return change


def drop(split: str, keep: int) -> Callable[[list[Row]], None]:
    def change(table: list[Row]) -> None:
        kept = [row for row in table if row["split"] != split]
        table[:] = kept + [row for row in table if row["split"] == split][:keep]

    return change


def without_column(table: list[Row]) -> None:
    for row in table:
        del row["dhash"]


def unseen(split: str) -> Callable[[list[Row]], None]:
    return lambda table: [row.update(classes="0") for row in table if row["split"] == split] and None


# Rows 0-11 are of train, 12-15 of val, 16-21 of test.
VIOLATIONS = {
    "column missing": (without_column, "columns.columns", "found ['name', 'path', 'split'"),
    "not a number": (
        edit(1, width="wide"),
        "formats.width_format",
        "split=train  side=photo  name=train ä1  path=train/photo/1.jpg  width=wide",
    ),
    "missing partner": (
        edit(13, label_sha256=""),
        "formats.label_sha256_format",
        "name=val ä1  path=val/photo/1.jpg  label_sha256=",
    ),
    "unknown split": (
        edit(0, split="holdout"),
        "formats.split_format",
        "split=holdout  side=photo  name=train ä0  path=train/photo/0.jpg",
    ),
    "pair twice": (copy(0, 1, "name"), "formats.names_unique", "split=train  side=photo  name=train ä0"),
    "wrong size": (edit(2, height="24"), "images.height", "name=train ä2  path=train/photo/2.jpg  height=24"),
    "enlarged": (
        edit(2, source_width="23"),
        "images.source_width",
        "name=train ä2  path=train/photo/2.jpg  source_width=23",
    ),
    "wrong mode": (
        edit(20, source_mode="CMYK"),
        "images.photo_mode",
        "name=test ä4  path=test/photo/4.jpg  source_mode=CMYK",
    ),
    "label mode": (
        edit(20, label_mode="RGB"),
        "images.label_mode",
        "name=test ä4  path=test/photo/4.jpg  label_mode=RGB",
    ),
    "unknown class": (
        edit(3, classes="0 1 7"),
        "images.classes_known",
        "name=train ä3  path=train/photo/3.jpg  highest_class=7",
    ),
    "other licence": (
        edit(3, licence="unknown"),
        "images.licence",
        "name=train ä3  path=train/photo/3.jpg  licence=unknown",
    ),
    "too dark": (
        edit(4, brightness="0.010000"),
        "images.brightness",
        "name=train ä4  path=train/photo/4.jpg  brightness=0.01",
    ),
    "colour cast": (edit(4, green="0.990000"), "images.green", "name=train ä4  path=train/photo/4.jpg  green=0.99"),
    "flat": (edit(4, contrast="0.000000"), "images.contrast", "name=train ä4  path=train/photo/4.jpg  contrast=0.0"),
    "leak": (
        copy(0, 16, "photo_sha256"),
        "images.no_duplicate_across_splits",
        "split=test  side=photo  name=test ä0  path=test/photo/0.jpg  duplicate=train/train ä0",
    ),
    "near leak": (
        flip(5, 12, 3),
        "images.no_near_duplicate_across_splits",
        "split=val  side=photo  name=val ä0  path=val/photo/0.jpg  near_duplicate=train/train ä5 (3 bits)",
    ),
    "too few": (drop("test", 4), "splits.enough_images", "split=test  side=photo  images=4  minimum=5"),
    "pair lost": (drop("train", 11), "splits.declared_images", "split=train  side=photo  images=11  declared=12"),
    "split empty": (drop("val", 0), "splits.enough_images", "split=val  side=photo  images=0  minimum=4"),
    "class unseen": (unseen("val"), "classes.classes_covered", "split=val  class=road  images=0  minimum=1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_violation_stops_the_run_and_names_its_rows(case, tmp_path, capsys):
    change, expectation, evidence = VIOLATIONS[case]
    table = rows()
    change(table)
    write(tmp_path, table)
    assert run(tmp_path) == DATA_FAILED
    message = capsys.readouterr().err
    assert f"  {expectation}: " in message
    assert evidence in message
    assert str(tmp_path / ".understudy/check/data_docs/index.html") in message
    assert (tmp_path / ".understudy/check/data_docs/index.html").exists()
    assert not result(tmp_path).exists()
    status = json.loads((tmp_path / ".understudy/status/check.json").read_text())
    assert status["code"] == DATA_FAILED
    assert evidence in status["reason"]


@pytest.mark.slow
def test_many_rows_are_counted_and_twenty_shown(tmp_path, capsys):
    table = rows()
    for row in table:
        row["source_mode"] = "L"
    write(tmp_path, table)
    assert run(tmp_path) == DATA_FAILED
    message = capsys.readouterr().err
    assert "images.photo_mode: 22 of 22 rows" in message
    assert message.count("source_mode=L") == stage.SHOWN
    assert "    and 2 more\n" in message


@pytest.mark.slow
def test_the_result_is_the_same_bytes_each_time_and_a_failure_takes_it_away(tmp_path):
    """One run in a process of its own, as DVC starts it, one here, one in another folder."""
    params = write(tmp_path, rows())
    command = [sys.executable, "-m", "stages.check", "--params", str(params), "--root", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, env={**os.environ, "GX_ANALYTICS_ENABLED": "true"}
    )
    assert (done.returncode, done.stderr) == (OK, "")
    first = result(tmp_path).read_bytes()
    assert run(tmp_path) == OK
    assert result(tmp_path).read_bytes() == first
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, rows())
    assert run(elsewhere) == OK
    assert result(elsewhere).read_bytes() == first

    value = json.loads(first)
    assert value["data"] == {f"prepare/{name}": sha256(tmp_path / "artifacts/prepare" / name)
                             for name in ("manifest.csv", "dataset.json")}  # fmt: skip
    defined = sum(len(suite.expectations) for suite in suites(rows()))
    assert value["expectations"] == len(value["results"]) == defined
    assert all(entry["success"] and entry["unexpected"] == 0 for entry in value["results"])
    assert {entry["checked"] for entry in value["results"]} == {22, 3, 6, None}  # pairs, splits, splits x classes

    table = rows()
    edit(0, width="25")(table)
    write(tmp_path, table)
    assert run(tmp_path) == DATA_FAILED
    assert not result(tmp_path).exists()


def both_sides() -> list[Row]:
    """The same for inputs that are photos: rows 0-21 are inputs, 22-43 photos of the same names."""
    inputs, photos = rows(), rows()
    generator = random.Random(1)
    for side, table in (("input", inputs), ("photo", photos)):
        for row in table:
            row |= {"side": side, "label_mode": "", "label_sha256": "", "classes": ""}
            row["photo_sha256"] = hashlib.sha256((side + row["name"]).encode()).hexdigest()
            row["dhash"] = f"{generator.getrandbits(64):016x}"
    return inputs + photos


PHOTOS = INFO | {"kind": "photos", "classes": [], "palette": [], "ignore": None}
UNPAIRED = PHOTOS | {"kind": "unpaired", "photo_counts": COUNTS | {"train": 13}}


def one_more(table: list[Row]) -> None:
    """Thirteen photos of train, for twelve inputs."""
    table.append(table[22] | {"name": "one more", "photo_sha256": "0" * 64, "dhash": "0123456789abcdef"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("info", "changes", "message"),
    [
        (PHOTOS, (), None),
        (UNPAIRED, (one_more,), None),
        (UNPAIRED, (), "1 of 6 rows\n    split=train  side=photo  images=12  declared=13"),
        (PHOTOS, (one_more,), "1 of 6 rows\n    split=train  side=photo  images=13  declared=12"),
        (UNPAIRED, (one_more, edit(0, classes="1")), "formats.classes_format: 1 of 45 rows\n"),
        (UNPAIRED, (one_more, edit(0, side="label")), "formats.side_format: 1 of 45 rows\n    split=train  side=label"),
        (UNPAIRED, (one_more, copy(22, 38, "photo_sha256")), "no_duplicate_across_splits: 2 of 45 rows"),
        (UNPAIRED, (one_more, copy(0, 38, "photo_sha256")), None),  # on the other side
        (PHOTOS, (copy(22, 38, "photo_sha256"),), None),  # of two pairs one side
        (PHOTOS, (copy(22, 38, "photo_sha256"), copy(0, 16, "photo_sha256")), "no_duplicate_across_splits: 4 of 44"),
        (PHOTOS, (copy(22, 38, "photo_sha256"), flip(22, 38, 0), flip(0, 16, 2)), "=test/test ä0 (2 bits)"),
        (PHOTOS, (copy(22, 38, "photo_sha256"), flip(22, 38, 0), flip(0, 16, 4)), None),
    ],
)  # fmt: skip
def test_sets_without_label_maps(info, changes, message, tmp_path, capsys):
    table = both_sides()
    for change in changes:
        change(table)
    write(tmp_path, table, info)
    assert run(tmp_path) == (DATA_FAILED if message else OK)
    assert (message or "") in capsys.readouterr().err
    if not message:
        value = json.loads(result(tmp_path).read_text())
        assert {entry["suite"] for entry in value["results"]} == {"columns", "formats", "images", "splits"}
        assert {entry["checked"] for entry in value["results"]} == {len(table), 6, None}


@pytest.mark.slow
def test_a_published_set_may_repeat_itself_a_little(tmp_path, capsys):
    table = rows()
    copy(0, 16, "photo_sha256")(table)
    write(tmp_path, table)
    for share, code in ((0.1, OK), (0.09, DATA_FAILED)):  # 2 of 22 rows
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"check": SETTINGS | {"max_repeated": share}}))
        assert run(tmp_path) == code
    assert "no_duplicate_across_splits: 2 of 22 rows" in capsys.readouterr().err


@pytest.mark.slow
def test_training_images_are_of_the_size_to_be_loaded(tmp_path, capsys):
    table = rows()
    for row in table[:12]:
        row.update(width="30", height="20")
    write(tmp_path, table, INFO | {"load_size": [20, 30]})
    assert run(tmp_path) == OK  # and a source of 24 x 32 is no smaller than what networks see
    edit(13, width="30")(table)
    write(tmp_path, table, INFO | {"load_size": [20, 30]})
    assert run(tmp_path) == DATA_FAILED
    assert "images.width: 1 of 22 rows" in capsys.readouterr().err


def suites(table: list[Row]) -> list[expectations.Suite]:
    info = DatasetInfo("tiny", "labels", (16, 24), ("sky", "road", "void"), ((0, 0, 0),) * 3, 2, "CC0-1.0", COUNTS)
    return [suite for group in expectations.rounds(columns(table), info, CHECK) for suite in group]


def columns(table: list[Row]) -> expectations.Table:
    return {column: [row[column] for row in table] for column in table[0]}


def test_the_columns_that_are_expected_are_those_that_are_written():
    assert tuple(expectations.FORMATS) == COLUMNS


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (flip(0, 16, 3), "test/test ä0 (3 bits)"),
        (flip(0, 16, 4), None),  # one bit too far
        (flip(0, 1, 2), None),  # the same split: no leakage
        (lambda table: (flip(0, 16, 0)(table), table[16].update(red=f"{float(table[0]['red']) + 0.01:.6f}")),
         "test/test ä0 (0 bits)"),
        (lambda table: (flip(0, 16, 0)(table), table[16].update(red=f"{float(table[0]['red']) + 0.011:.6f}")), None),
        (lambda table: (flip(0, 16, 0)(table), copy(0, 16, "photo_sha256")(table)), None),  # equal: not merely near
        (lambda table: (flip(0, 16, 3)(table), flip(0, 12, 1)(table)), "val/val ä0 (1 bits)"),  # the nearest is named
    ],
)  # fmt: skip
def test_near_duplicates_are_close_in_hash_and_in_tone(change, found):
    table = rows()
    change(table)
    (suite, *_) = [s for s in suites(table) if s.name == "images"]
    near = suite.table["near_duplicate"]
    assert near[0] == found
    assert near[2:12] == [None] * 10


def duplicate_column(table: list[Row]) -> list[str | None]:
    splits, names, photos = (columns(table)[column] for column in ("split", "name", "photo_sha256"))
    return duplicates(splits, names, [(photo,) for photo in photos])


def test_duplicates_are_named_from_both_sides_and_only_across_splits():
    table = rows()
    copy(0, 1, "photo_sha256")(table)
    assert set(duplicate_column(table)) == {None}
    copy(0, 16, "photo_sha256")(table)
    named = duplicate_column(table)
    assert (named[0], named[1], named[16]) == ("test/test ä0", "test/test ä0", "train/train ä0")
    assert sum(place is not None for place in named) == 3


def test_dry_run_prints_the_plan_and_does_nothing(tmp_path, capsys):
    write(tmp_path, rows())
    assert run(tmp_path, "--dry-run") == OK
    printed = capsys.readouterr().out
    assert "images.test: 6" in printed
    assert "check.near_duplicate_bits: 3" in printed
    assert not (tmp_path / ".understudy").exists()
    assert not result(tmp_path).exists()


def test_nothing_prepared_is_said(tmp_path, capsys):
    write(tmp_path, rows())
    (tmp_path / "artifacts/prepare/dataset.json").unlink()
    assert run(tmp_path) == 2
    assert "dvc repro prepare" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("min_images", {"train": 1, "val": 1}),
        ("min_images", {"train": 1, "val": 1, "test": 0}),
        ("photo_modes", []),
        ("max_upscale", 0),
        ("near_duplicate_bits", 32),
        ("near_duplicate_tone", -0.1),
        ("brightness", [0.9, 0.1]),
    ],
)
def test_a_bad_bound_is_named(key, value):
    with pytest.raises(UserError, match=rf"check\.{key}: "):
        parse(Check, {**SETTINGS, key: value}, "check")
