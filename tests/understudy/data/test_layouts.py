"""Sets as they are handed out: every known layout, as folder, zip and tar, and what is wrong with one."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from paired_set import (
    CLASSES,
    LABEL_MAPS,
    PALETTE,
    SIZE,
    names,
    photo,
    prepared,
    read_pair,
    refused,
    tarred,
    write_set,
    zipped,
)
from PIL import Image

from understudy.data.ingest import FileSet
from understudy.data.layouts.cityscapes import HELD_OUT, LABELS, LICENCE
from understudy.data.prepare import open_source
from understudy.data.source import Wanted
from understudy.data.terms import SPLITS


def save(image: Image.Image, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


A_TO_B, B_TO_A = Wanted("labels", "AtoB"), Wanted("labels", "BtoA")


def describe(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def blocks(seed: int) -> Image.Image:
    """A label map of regions that JPEG's 8 x 8 blocks do not cut: class ids, palette image."""
    coarse = np.random.default_rng(seed).integers(0, 3, (3, 4), np.uint8)
    image = Image.fromarray(np.kron(coarse, np.ones((8, 8), np.uint8)))
    image.putpalette([channel for colour in PALETTE for channel in colour])
    return image


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (left.width + right.width, left.height))
    whole.paste(left, (0, 0))
    whole.paste(right.convert("RGB"), (left.width, 0))
    return whole


def own(folder: Path) -> None:
    write_set(folder)


def cityscapes(folder: Path) -> None:
    for split, cities in {"train": ("aachen", *HELD_OUT), "val": ("lindau",), "test": ("bonn",)}.items():
        for number, city in enumerate(cities):
            stem = f"{city}_000000_00001{number}"
            save(photo(number), folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
            ids = np.random.default_rng(number).integers(0, 34, SIZE, np.uint8)
            for kind in ("labelIds", "labelTrainIds", "instanceIds", "color"):
                save(Image.fromarray(ids), folder / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png")
            (folder / "gtFine" / split / city / f"{stem}_gtFine_polygons.json").write_text("{}")
    (folder / "README").write_text("terms")


def aligned(folder: Path, direction: str = "BtoA") -> None:
    describe(folder)
    for s, split in enumerate(SPLITS):
        for i in range(2):
            halves = (photo(10 * s + i), blocks(10 * s + i))
            whole = side_by_side(*(halves if direction == "BtoA" else halves[::-1]))
            save(whole, folder / split / f"{i}.jpg", quality=95)


def sides(template: str, suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        describe(folder)
        for s, split in enumerate(SPLITS):
            for i in range(2):
                save(
                    blocks(10 * s + i).convert("RGB"), folder / template.format(split=split, side="A") / f"{i}{suffix}"
                )
                save(photo(10 * s + i), folder / template.format(split=split, side="B") / f"{i}.jpg")

    return write


def folders(photos: str, labels: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        describe(folder)
        for s, split in enumerate(SPLITS):
            for i in range(2):
                save(photo(10 * s + i), folder / photos.format(split=split) / f"{i}.jpg")
                save(blocks(10 * s + i), folder / labels.format(split=split) / f"{i}.png")

    return write


LAYOUTS: dict[str, tuple[Callable[[Path], None], str, Wanted]] = {
    "own": (own, "{split}/photo/ and {split}/label/", LABEL_MAPS),
    "cityscapes": (cityscapes, "Cityscapes; val: bochum, krefeld, ulm of its train; test: its val", LABEL_MAPS),
    "aligned": (aligned, "{split}/NAME.jpg with A left and B right, BtoA", B_TO_A),
    "trainA": (sides("{split}{side}", ".jpg"), "{split}{A,B}/, AtoB", A_TO_B),
    "A/train": (sides("{side}/{split}", ".png"), "{A,B}/{split}/, AtoB", A_TO_B),
    "labels": (folders("images/{split}", "labels/{split}"), "images/{split}/ and labels/{split}/", LABEL_MAPS),
    "pix2pixhd": (folders("{split}_img", "{split}_label"), "{split}_img/ and {split}_label/", LABEL_MAPS),
}


LaidOut = tuple[Path, str, Wanted]


@pytest.fixture(params=LAYOUTS)
def laid_out(request: pytest.FixtureRequest, tmp_path: Path) -> LaidOut:
    write, name, wanted = LAYOUTS[request.param]
    write(tmp_path / "set")
    return tmp_path / "set", name, wanted


def test_every_layout_reads_the_same_from_folder_zip_and_tar(laid_out: LaidOut, tmp_path: Path) -> None:
    folder, name, wanted = laid_out
    (tmp_path / "packed").mkdir()
    sources = [
        folder,
        zipped(folder, tmp_path / "set.zip"),
        zipped(folder, tmp_path / "packed" / "set.zip", "some folder/"),
        tarred(folder, tmp_path / "set.tar.gz", "w:gz"),
    ]
    made = [prepared(source, tmp_path / "out" / str(number), wanted) for number, source in enumerate(sources)]
    for file in ("train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png"):
        assert len({(out / file).read_bytes() for out in made}) == 1, file
    assert json.loads((made[0] / "dataset.json").read_text())["layout"] == name


def test_classes_and_photos_come_out_right_in_every_layout(laid_out: LaidOut) -> None:
    folder, name, wanted = laid_out
    if "Cityscapes" in name or "photo/" in name:
        return  # of other pictures, below and in test_ingest.py
    source = FileSet(folder, wanted)
    assert all(names(source, split) == ("0", "1") for split in SPLITS) and not source.problems
    for s, split in enumerate(SPLITS):
        pair = read_pair(folder, split, "1", wanted=wanted)
        assert (pair["input"].pixels == np.asarray(blocks(10 * s + 1))).mean() > 0.99, split
        assert np.abs(pair["photo"].pixels.astype(int) - np.asarray(photo(10 * s + 1))).mean() < 12, split


def test_cityscapes_splits_by_whole_cities(tmp_path: Path) -> None:
    cityscapes(tmp_path / "set")
    source = FileSet(tmp_path / "set", LABEL_MAPS)
    cities = {split: {name.split("_")[0] for name in names(source, split)} for split in SPLITS}
    assert cities == {"train": {"aachen"}, "val": set(HELD_OUT), "test": {"lindau"}}
    assert (len(source.classes.names), source.classes.ignore, source.classes.licence) == (35, 0, LICENCE)
    assert (source.classes.names[7], source.classes.palette[26]) == ("road", (0, 0, 142)) and len(LABELS) == 35
    pair = read_pair(tmp_path / "set", "train", "aachen_000000_000010")
    assert np.array_equal(pair["input"].pixels, np.random.default_rng(0).integers(0, 34, SIZE, np.uint8))
    assert pair["photo"].path == "leftImg8bit/train/aachen/aachen_000000_000010_leftImg8bit.png"


def test_cityscapes_reads_from_its_two_archives_in_one_folder(tmp_path: Path) -> None:
    cityscapes(tmp_path / "whole")
    out = prepared(tmp_path / "whole", tmp_path / "first")
    for part in ("leftImg8bit", "gtFine"):
        (tmp_path / part).mkdir()
        (tmp_path / "whole" / part).rename(tmp_path / part / part)
        (tmp_path / part / "README").write_text("the same name in both")
    (tmp_path / "archives").mkdir()
    zipped(tmp_path / "leftImg8bit", tmp_path / "archives" / "leftImg8bit_trainvaltest.zip")
    zipped(tmp_path / "gtFine", tmp_path / "archives" / "gtFine_trainvaltest.zip")
    again = prepared(tmp_path / "archives", tmp_path / "again")
    assert (out / "test.zip").read_bytes() == (again / "test.zip").read_bytes()
    zipped(tmp_path / "gtFine", tmp_path / "archives" / "once_more.zip")
    assert "_gtFine_labelIds.png: is also in another archive" in refused(tmp_path / "archives")


def test_a_city_without_labels_and_a_held_out_city_that_is_missing_are_named(tmp_path: Path) -> None:
    cityscapes(tmp_path / "set")
    next((tmp_path / "set").rglob("aachen*_labelIds.png")).unlink()
    for city in HELD_OUT:
        for file in (tmp_path / "set").rglob(f"{city}_*"):
            file.unlink()
    message = refused(tmp_path / "set")
    assert "aachen_000000_000010_leftImg8bit.png: has no label map" in message
    assert "leftImg8bit/train/{bochum, krefeld, ulm}/: no file there" in message


def test_classes_beside_a_downloaded_archive(tmp_path: Path) -> None:
    aligned(tmp_path / "facades")
    (tmp_path / "facades" / "classes.json").unlink()
    archive = tarred(tmp_path, tmp_path / "facades.tar.gz", "w:gz")
    assert "expected one classes.json" in refused(archive, B_TO_A)
    archive.rename(describe(tmp_path / "side") / "facades.tar.gz")
    assert names(FileSet(tmp_path / "side", B_TO_A), "test") == ("0", "1")


@pytest.mark.parametrize("wanted", [A_TO_B, B_TO_A])
def test_direction_says_which_half_is_the_photo(tmp_path: Path, wanted: Wanted) -> None:
    aligned(tmp_path / "set", wanted.direction)
    pair = read_pair(tmp_path / "set", "train", "0", wanted=wanted)
    assert (pair["input"].pixels == np.asarray(blocks(0))).mean() > 0.99
    assert pair["photo"].source_size == SIZE


def test_the_wrong_direction_is_found_by_its_colours(tmp_path: Path) -> None:
    aligned(tmp_path / "set")
    message = refused(tmp_path / "set", A_TO_B)
    assert "train/0.jpg: " in message and "far from every colour of the palette, at most 5% may be" in message
    assert "6 problems" in message


def test_direction_is_asked_for_and_refused_where_it_says_nothing(laid_out: LaidOut) -> None:
    folder, name, wanted = laid_out
    if wanted == LABEL_MAPS:
        message = refused(folder, A_TO_B)
        assert message.startswith("prepare.direction: AtoB is for sets whose sides are called A and B")
        assert "set it to null" in message
        message = refused(folder, Wanted("unpaired", "AtoB"))
        assert message.startswith("prepare.kind: unpaired, and ") and "set it to labels" in message
    else:
        message = refused(folder, LABEL_MAPS)
        assert message.startswith("prepare.direction: missing") and "AtoB when A is the label map" in message
        assert name.split(", ")[0] in message


def test_halves_of_odd_width_and_broken_ones_are_each_named_once(tmp_path: Path) -> None:
    aligned(tmp_path / "set")
    save(photo(0, (24, 63)), tmp_path / "set" / "val" / "0.jpg")
    (tmp_path / "set" / "test" / "1.jpg").write_bytes(b"no image")
    message = refused(tmp_path / "set", B_TO_A)
    assert "2 problems" in message
    assert "val/0.jpg: is 63 pixels wide" in message and "test/1.jpg: not an image" in message


def test_what_is_no_image_of_an_aligned_set_is_listed_and_not_passed_over(tmp_path: Path) -> None:
    aligned(folder := tmp_path / "set")
    for path in ("train/deep/x.jpg", "train/notes.txt"):
        save(photo(0), folder / path, format="JPEG")
    problems = open_source(folder, B_TO_A).problems
    assert [problem.partition(":")[0] for problem in problems] == ["train/deep/x.jpg", "train/notes.txt"]


def test_a_hidden_folder_beside_archives_changes_nothing(tmp_path: Path) -> None:
    aligned(folder := tmp_path / "set")
    beside = tmp_path / "beside"
    (beside / ".cache").mkdir(parents=True)
    (beside / ".cache" / "x").write_text("x")
    zipped(folder, beside / "set.zip")
    assert open_source(beside, B_TO_A).items("train") == open_source(folder, B_TO_A).items("train")


def test_every_unpaired_file_is_listed(tmp_path: Path) -> None:
    sides("{split}{side}", ".png")(tmp_path / "set")
    (tmp_path / "set" / "trainA" / "0.png").unlink()
    (tmp_path / "set" / "testB" / "1.jpg").unlink()
    message = refused(tmp_path / "set", A_TO_B)
    assert "trainB/0.jpg: has no label map" in message and "testA/1.png: has no photo" in message


def test_of_two_splits_three_are_made(tmp_path: Path) -> None:
    describe(tmp_path / "set")
    for i in range(1, 31):
        save(side_by_side(photo(i), blocks(i)), tmp_path / "set" / "train" / f"{i}.png")
    for i in range(1, 3):
        save(side_by_side(photo(100 + i), blocks(i)), tmp_path / "set" / "val" / f"{i}.png")
    source = FileSet(tmp_path / "set", B_TO_A)
    assert names(source, "val") == ("28", "29", "30") and names(source, "test") == ("1", "2")
    assert len(names(source, "train")) == 27
    assert source.layout.endswith("BtoA; val: the last tenth of train, from 28 on; test: its val")
    (tmp_path / "set" / "val").rename(tmp_path / "set" / "test")
    assert FileSet(tmp_path / "set", B_TO_A).layout.endswith("BtoA; val: the last tenth of train, from 28 on")


def test_no_layout_and_two_layouts_list_those_that_are_known(tmp_path: Path) -> None:
    save(photo(0), tmp_path / "set" / "pictures" / "0.png")
    message = refused(tmp_path / "set")
    assert "no known layout" in message
    write_set(tmp_path / "both")
    save(photo(0), tmp_path / "both" / "trainA" / "0.png")
    double = refused(tmp_path / "both")
    assert "more than one layout: {split}/photo/ and {split}/label/, {split}{A,B}/;" in double
    for shape in ("{split}/photo/", "leftImg8bit/", "A left and B right", "{split}{A,B}/", "labels/{split}/"):
        assert shape in message and shape in double


def test_entries_that_climb_out_are_refused_in_every_layout(laid_out: LaidOut, tmp_path: Path) -> None:
    extra = [tarfile.TarInfo("../evil.png"), tarfile.TarInfo("/evil.png")]
    message = refused(tarred(laid_out[0], tmp_path / "set.tar", extra=extra), laid_out[2])
    assert "2 problems" in message and "../evil.png: climbs out" in message and "/evil.png: absolute" in message
