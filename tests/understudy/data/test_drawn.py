from pathlib import Path

import numpy as np
import pytest
import yaml
from paired_set import LABEL_MAPS, names

from understudy.data.drawn import DrawnSet
from understudy.data.prepare import contact_sheet, open_source, prepare
from understudy.data.prepared import load_info, load_split
from understudy.data.scenes.classes import PALETTE
from understudy.data.scenes.draw import draw
from understudy.data.source import Classes, Wanted
from understudy.data.terms import SIDES, Direction
from understudy.errors import UserError

DESCRIPTION = {"drawn": "street-scenes", "seed": 4, "train": 3, "val": 1, "test": 2, "licence": "CC0-1.0"}


def describe(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "streets.yaml"
    path.write_text(yaml.safe_dump(DESCRIPTION | changes))
    return path


def test_names_and_pairs(tmp_path: Path) -> None:
    source = DrawnSet.describe(describe(tmp_path), LABEL_MAPS)
    assert names(source, "train") == ("train-00000", "train-00001", "train-00002")
    pair = list(source.load("train", (32, 40)))[2]
    photo, label = draw(4, "train", 2, (32, 40))
    assert np.array_equal(pair["photo"].pixels, photo) and np.array_equal(pair["input"].pixels, label)
    assert pair["photo"].path == "train-00002"
    assert np.array_equal(source.read("train", source.items("train")[2], (32, 40))["photo"].pixels, photo)


def test_prepared_set_reads_back_as_it_was_drawn(tmp_path: Path) -> None:
    seen = []
    prepare(
        open_source(describe(tmp_path), LABEL_MAPS),
        (32, 40),
        None,
        tmp_path / "out",
        lambda *counts: seen.append(counts),
    )
    info = load_info(tmp_path / "out" / "dataset.json")
    assert (info.name, info.size, info.counts) == ("street-scenes", (32, 40), {"train": 3, "val": 1, "test": 2})
    pairs = load_split(tmp_path / "out" / "test.zip", info)
    assert pairs.names == ("test-00000", "test-00001")
    photo, label = draw(4, "test", 1, (32, 40))
    assert np.array_equal(pairs.photos[1].permute(1, 2, 0).numpy(), photo)
    assert np.array_equal(pairs.inputs[1].numpy(), label)
    assert seen[-1] == (6, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"drawn": "villages"}, "drawn"), ({"train": 0}, "train"), ({"seed": -1}, "seed"), ({"colour": 1}, "colour")],
)
def test_description_is_checked(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=rf"streets.yaml.*{message}"):
        open_source(describe(tmp_path, **changes), LABEL_MAPS)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_photos_and_label_maps_in_colours_are_drawn_either_way(tmp_path: Path, direction: Direction) -> None:
    source = open_source(describe(tmp_path), Wanted("photos", direction))
    pair = source.read("test", source.items("test")[1], (32, 40))
    photo, label = draw(4, "test", 1, (32, 40))
    first, second = ("input", "photo") if direction == "AtoB" else ("photo", "input")
    assert np.array_equal(pair[first].pixels, photo)
    assert np.array_equal(pair[second].pixels, np.array(PALETTE)[label])
    prepare(source, (32, 40), (36, 44), tmp_path / "out", lambda *counts: None)
    info = load_info(tmp_path / "out" / "dataset.json")
    assert (info.kind, info.classes, info.counts["test"]) == ("photos", (), 2)
    assert load_split(tmp_path / "out" / "train.zip", info).inputs.shape == (3, 3, 36, 44)


def test_nothing_but_pairs_is_drawn(tmp_path: Path) -> None:
    for wanted in (Wanted("photos", None), Wanted("labels", "AtoB"), Wanted("unpaired", "AtoB")):
        with pytest.raises(UserError, match=r"streets\.yaml: draws pairs; set prepare\.kind to labels and"):
            open_source(describe(tmp_path), wanted)


def test_contact_sheet_shows_labels_above_photos(tmp_path: Path) -> None:
    source = DrawnSet.describe(describe(tmp_path), LABEL_MAPS)
    pairs = list(source.load("train", (16, 20)))
    sides = {side: [pair[side].pixels for pair in pairs] for side in SIDES}
    sheet = contact_sheet(sides, source.classes)
    assert sheet.shape == (32, 60, 3)
    assert np.array_equal(sheet[16:, 20:40], pairs[1]["photo"].pixels)
    assert tuple(sheet[0, 0]) == source.classes.palette[pairs[0]["input"].pixels[0, 0]]


def test_contact_sheet_fills_the_shorter_row_with_white() -> None:
    grey = np.full((4, 6, 3), 9, np.uint8)
    sheet = contact_sheet({"input": [grey], "photo": [grey, grey]}, Classes((), (), None, ""))
    assert sheet.shape == (8, 12, 3)
    assert (sheet[:4, :6] == 9).all() and (sheet[:4, 6:] == 255).all() and (sheet[4:] == 9).all()
