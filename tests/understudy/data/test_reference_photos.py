"""Training photos for metrics: where the training split is stored larger, its photos are kept at the others' size."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from paired_set import LABEL_MAPS, SIZE, prepared, write_set
from random_inception import pictures
from test_drawn import describe
from test_photo_sets import A_TO_B, B_TO_A, domains, twins

from understudy.data.ingest import FileSet
from understudy.data.prepare import open_source, prepare
from understudy.data.prepared import load_info, load_photos, load_split
from understudy.data.source import BadItem, Example, Wanted
from understudy.errors import UserError
from understudy.metrics import inception_scoring
from understudy.metrics.bootstrap import resample
from understudy.params.evaluate import Inception

LOAD_SIZE = (28, 32)
SETS = {
    "labels": (write_set, LABEL_MAPS),
    "drawn": (lambda folder: describe(folder.parent), LABEL_MAPS),
    "photos": (twins, Wanted("photos", "AtoB")),
    "AtoB": (domains, A_TO_B),
    "BtoA": (domains, B_TO_A),
}


@pytest.mark.parametrize("name", SETS)
def test_training_photos_are_those_of_a_set_without_a_load_size(name: str, tmp_path: Path) -> None:
    write, wanted = SETS[name]
    source = write(tmp_path / "set")
    plain, larger = (
        prepared(source, tmp_path / str(load_size), wanted, (24, 28), load_size) for load_size in (None, LOAD_SIZE)
    )
    info = load_info(larger / "dataset.json")
    expected = load_photos(plain / "train.zip", load_info(plain / "dataset.json"))
    assert torch.equal(load_photos(larger / "train.zip", info), expected)
    assert expected.shape[2:] == info.size and len(expected) == info.count("train", "photo")
    for file in ("val.zip", "test.zip"):
        assert (plain / file).read_bytes() == (larger / file).read_bytes()
        split = load_split(larger / file, info)
        assert torch.equal(load_photos(larger / file, info), split.photos)
    # What networks are trained on is the larger split and nothing of these.
    training = load_split(larger / "train.zip", info)
    assert training.photos.shape == (len(expected), 3, *LOAD_SIZE) and len(training) == info.counts["train"]
    with zipfile.ZipFile(plain / "train.zip") as archive:
        assert not any(entry.startswith("reference/") for entry in archive.namelist())


def test_all_that_is_read_is_counted(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = open_source(domains(tmp_path / "set"), A_TO_B)
    prepare(source, (24, 28), LOAD_SIZE, tmp_path / "out", lambda *counts: seen.append(counts))
    assert seen == [(done, 20) for done in range(1, 21)]  # 5 in each split, those of training once more


def test_a_photo_that_can_be_read_once_and_not_again_is_a_problem(tmp_path: Path) -> None:
    class Failing(FileSet):
        def load(self, split: str, size: tuple[int, int]) -> Iterator[Example | BadItem]:
            for item, example in zip(self.items(split), super().load(split, size), strict=True):
                gone = split == "train" and size == SIZE and item.name == "b1"
                yield BadItem("trainB/b1.png: gone") if gone else example

    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"1 problem, nothing was written\n  trainB/b1\.png: gone$"):
        prepare(Failing(domains(tmp_path / "set"), A_TO_B), SIZE, LOAD_SIZE, out, lambda *_: None)
    assert not list(out.iterdir())


def test_an_archive_without_them_or_with_others_is_named(tmp_path: Path) -> None:
    out = prepared(twins(tmp_path / "set"), tmp_path / "out", Wanted("photos", "AtoB"), (24, 28), LOAD_SIZE)
    info = load_info(out / "dataset.json")
    with zipfile.ZipFile(out / "train.zip") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    kept = [name for name in entries if name.startswith("reference/")]
    assert kept == ["reference/0.png", "reference/1.png"]
    for missing, message in ((kept, r"holds no photos of 24 x 28.*dvc repro prepare"), (kept[1:], "has not the names")):
        with zipfile.ZipFile(out / "train.zip", "w") as archive:
            for name in set(entries) - set(missing):
                archive.writestr(name, entries[name])
        with pytest.raises(UserError, match=rf"train\.zip: .*{message}"):
            load_photos(out / "train.zip", info)
        load_split(out / "train.zip", info)  # which needs none of them
    with pytest.raises(UserError, match="no such split"):
        load_photos(out / "none.zip", info)


def test_inception_looks_at_them_and_at_no_larger_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that distances to training and test photos are the same with a load size and without it, bit by bit."""
    looked: list[torch.Tensor] = []

    def features(net: object, photos: torch.Tensor, how: str) -> list[torch.Tensor]:
        looked.append(photos)
        return [photos[..., :2, :2].float().flatten(1)]  # [N, 12]

    monkeypatch.setattr(inception_scoring, "load_inception", lambda data, where: torch.nn.Identity())
    monkeypatch.setattr(inception_scoring, "features", features)
    (tmp_path / "weights.pth").write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    asked = Inception(str(tmp_path / "weights.pth"), digest, ("bilinear299",), ("train_test",))
    scoring = inception_scoring.InceptionScoring(asked, torch.device("cpu"))
    made, drawn = {"student": pictures(0, 3, (24, 28))}, resample("unpaired", 3, 2, 4, 0)
    source, found = domains(tmp_path / "set"), []
    for load_size in (None, LOAD_SIZE):
        out = prepared(source, tmp_path / str(load_size), A_TO_B, (24, 28), load_size)
        info = load_info(out / "dataset.json")
        found.append(scoring.score(made, out, info, tmp_path / "cache", drawn)["student"])
    assert found[0] == found[1] and len(looked) == 5  # test, train, made; the same test photos not again; train, made
    assert torch.equal(looked[1], looked[3]) and torch.equal(looked[1], load_photos(out / "train.zip", info))
