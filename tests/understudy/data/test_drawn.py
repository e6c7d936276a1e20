from pathlib import Path

import numpy as np
import pytest
import yaml

from understudy.data.drawn import DrawnSet
from understudy.data.prepare import contact_sheet, open_source, prepare
from understudy.data.prepared import load_info, load_split
from understudy.data.scenes.draw import draw
from understudy.errors import UserError

DESCRIPTION = {"drawn": "street-scenes", "seed": 4, "train": 3, "val": 1, "test": 2, "licence": "CC0-1.0"}


def describe(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "streets.yaml"
    path.write_text(yaml.safe_dump(DESCRIPTION | changes))
    return path


def test_names_and_pairs(tmp_path: Path) -> None:
    source = DrawnSet.describe(describe(tmp_path))
    assert source.names("train") == ("train-00000", "train-00001", "train-00002")
    pair = list(source.load("train", (32, 40)))[2]
    photo, label = draw(4, "train", 2, (32, 40))
    assert np.array_equal(pair.photo, photo) and np.array_equal(pair.label, label)
    assert pair.path == "train-00002"
    assert np.array_equal(source.read("train", "train-00002", (32, 40)).photo, photo)


def test_prepared_set_reads_back_as_it_was_drawn(tmp_path: Path) -> None:
    seen = []
    prepare(open_source(describe(tmp_path)), (32, 40), tmp_path / "out", lambda *counts: seen.append(counts))
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
        open_source(describe(tmp_path, **changes))


def test_contact_sheet_shows_labels_above_photos(tmp_path: Path) -> None:
    source = DrawnSet.describe(describe(tmp_path))
    pairs = list(source.load("train", (16, 20)))
    sheet = contact_sheet(pairs, source.classes.palette)
    assert sheet.shape == (32, 60, 3)
    assert np.array_equal(sheet[16:, 20:40], pairs[1].photo)
    assert tuple(sheet[0, 0]) == source.classes.palette[pairs[0].label[0, 0]]
