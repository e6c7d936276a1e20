"""Label maps with instance maps beside them: what becomes of them, and what is wrong with a set."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from paired_set import PALETTE, SIZE, label, photo, prepared, refused, tarred, write_set, zipped
from PIL import Image

from understudy.data.drawn import DrawnSet
from understudy.data.edges import instance_edges
from understudy.data.layouts.cityscapes import HELD_OUT
from understudy.data.manifest import read_manifest
from understudy.data.prepare import open_source
from understudy.data.prepared import load_info, load_split, show_inputs
from understudy.data.scenes.classes import Label
from understudy.data.scenes.draw import draw, draw_instances
from understudy.data.source import Wanted
from understudy.data.terms import SPLITS
from understudy.errors import UserError

INSTANCES, WITHOUT = Wanted("labels", None, True), Wanted("labels", None)


def ids(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Instance ids of more than 8 bits, in blocks of 4 pixels."""
    coarse = np.random.default_rng(seed).integers(24000, 24004, (size[0] // 4, size[1] // 4))
    return np.kron(coarse, np.ones((4, 4), int)).astype(np.uint16)


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def own(folder: Path) -> Path:
    write_set(folder)
    for s, split in enumerate(SPLITS):
        for i in range(2):
            save(ids(100 * s + i), folder / split / "instance" / f"{i}.png")
    return folder


def pix2pixhd(folder: Path) -> Path:
    write_set(folder)
    for s, split in enumerate(SPLITS):
        for side, short in (("photo", "img"), ("label", "label")):
            (folder / split / side).rename(folder / f"{split}_{short}")
        for i in range(2):
            save(ids(100 * s + i), folder / f"{split}_inst" / f"{i}.png")
    return folder


def cityscapes(folder: Path) -> Path:
    for split, cities in {"train": ("aachen", *HELD_OUT), "val": ("lindau",)}.items():
        for number, city in enumerate(cities):
            stem = f"{city}_000000_00001{number}"
            photo(number).save(_made(folder / "leftImg8bit" / split / city) / f"{stem}_leftImg8bit.png")
            gt = folder / "gtFine" / split / city / f"{stem}_gtFine"
            save(np.asarray(label(number)), gt.with_name(f"{gt.name}_labelIds.png"))
            save(ids(number), gt.with_name(f"{gt.name}_instanceIds.png"))
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def nearest(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(pixels.astype(np.int32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.NEAREST))


@pytest.mark.parametrize(("write", "first"), [(own, 200), (pix2pixhd, 200), (cityscapes, 0)])
def test_edges_are_those_of_the_resized_instance_maps(write: Callable, first: int, tmp_path: Path) -> None:
    folder, size, load_size = write(tmp_path / "set"), (24, 28), (32, 40)
    out = prepared(folder, tmp_path / "out", INSTANCES, size, load_size)
    info = load_info(out / "dataset.json")
    assert info.edges and info.planes == (2,) and info.input_channels("onehot") == info.num_classes + 1
    split = load_split(out / "test.zip", info)
    assert split.inputs.dtype == torch.uint8 and split.inputs.shape[1:] == (2, *size)
    assert np.array_equal(split.inputs[0, 1], instance_edges(nearest(ids(first), size)))
    assert np.array_equal(split.inputs[0, 0], nearest(np.asarray(label(first)), size))
    larger = load_split(out / "train.zip", info).inputs
    assert larger.shape[1:] == (2, *load_size)
    assert np.array_equal(larger[0, 1], instance_edges(nearest(ids(0), load_size)))
    assert 0.1 < larger[:, 1].float().mean() < 0.9


def test_folder_zip_and_tar_give_the_same_bytes(tmp_path: Path) -> None:
    folder = own(tmp_path / "set")
    sources = [folder, zipped(folder, tmp_path / "set.zip"), tarred(folder, tmp_path / "set.tar", "w")]
    made = [prepared(source, tmp_path / "out" / str(number), INSTANCES) for number, source in enumerate(sources)]
    for file in ("train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png"):
        assert len({(out / file).read_bytes() for out in made}) == 1, file


def test_what_is_not_asked_for_is_not_looked_at(tmp_path: Path) -> None:
    folder = own(tmp_path / "set")
    whole = prepared(folder, tmp_path / "whole", WITHOUT)
    for path in folder.rglob("instance/*.png"):
        path.write_bytes(b"no image")
    spoilt = prepared(folder, tmp_path / "spoilt", WITHOUT)
    for file in whole.iterdir():
        assert file.read_bytes() == (spoilt / file.name).read_bytes(), file.name
    info = load_info(whole / "dataset.json")
    assert not info.edges and load_split(whole / "val.zip", info).inputs.dim() == 3


def test_the_manifest_tells_other_edges_apart_and_counts_classes_alone(tmp_path: Path) -> None:
    folder = own(tmp_path / "set")
    table = read_manifest(prepared(folder, tmp_path / "first", INSTANCES) / "manifest.csv")
    without = read_manifest(prepared(folder, tmp_path / "without", WITHOUT) / "manifest.csv")
    save(ids(99), folder / "train" / "instance" / "0.png")
    again = read_manifest(prepared(folder, tmp_path / "second", INSTANCES) / "manifest.csv")
    changed = [a != b for a, b in zip(table["label_sha256"], again["label_sha256"], strict=True)]
    assert changed == [True] + [False] * 5
    for column in table.keys() - {"label_sha256"}:
        assert table[column] == without[column] == again[column], column


def test_samples_show_edges_dark_as_pictures_of_a_run_do(tmp_path: Path) -> None:
    out = prepared(own(tmp_path / "set"), tmp_path / "out", INSTANCES, SIZE)
    info = load_info(out / "dataset.json")
    shown = show_inputs(load_split(out / "train.zip", info).inputs, info)[0].permute(1, 2, 0).numpy()
    sheet = np.asarray(Image.open(out / "samples.png"))
    assert np.array_equal(sheet[: SIZE[0], : SIZE[1]], shown)
    whole, edges = np.array(PALETTE, np.uint8)[np.asarray(label(0))], instance_edges(ids(0)) > 0
    assert np.array_equal(shown[~edges], whole[~edges]) and np.array_equal(shown[edges], whole[edges] // 3)


def test_ids_come_in_8_or_16_bits_and_as_palette_indices(tmp_path: Path) -> None:
    folder = own(tmp_path / "set")
    few = (ids(0) - 24000).astype(np.uint8)
    outs = []
    for number, image in enumerate((Image.fromarray(few), Image.fromarray(few.astype(np.uint16)), label(0))):
        if image.mode == "P":
            image.putdata(few.ravel().tolist())
        image.save(folder / "train" / "instance" / "0.png")
        outs.append(prepared(folder, tmp_path / str(number), INSTANCES))
    assert len({(out / "train.zip").read_bytes() for out in outs}) == 1


def test_a_set_without_instance_maps_is_one_sentence(tmp_path: Path) -> None:
    message = refused(write_set(tmp_path / "set"), INSTANCES)
    assert message.startswith("prepare.instances: true, and ") and message.count("\n") == 0
    assert "has no instance map, {split}/instance/; set it to false" in message
    folder = cityscapes(tmp_path / "cities")
    for path in folder.rglob("*_instanceIds.png"):
        path.unlink()
    assert "no instance map, gtFine/{split}/CITY/*_gtFine_instanceIds.png" in refused(folder, INSTANCES)


def test_a_layout_without_a_place_for_them_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for split in SPLITS:
        for side, image in (("A", label(0)), ("B", photo(0))):
            image.save(_made(folder / f"{split}{side}") / "0.png")
    message = refused(folder, Wanted("labels", "AtoB", True))
    assert (
        message.startswith("prepare.instances: true, and the layout of ") and "({split}{A,B}/) has no place" in message
    )


def test_every_file_that_is_wrong_or_alone_is_listed(tmp_path: Path) -> None:
    folder = own(tmp_path / "set")
    (folder / "train" / "instance" / "1.png").unlink()
    save(ids(0), folder / "val" / "instance" / "7.png")
    save(ids(0, (24, 24)), folder / "val" / "instance" / "0.png")
    (folder / "val" / "instance" / "1.png").write_bytes(b"no image")
    save(np.asarray(photo(0)), folder / "test" / "instance" / "0.png")
    lines = refused(folder, INSTANCES).splitlines()
    assert "5 problems" in lines[0] and sorted(line.strip().partition(": ")[::2] for line in lines[1:]) == [
        ("test/instance/0.png", "instance map of mode RGB; greyscale or palette expected, an id for each pixel"),
        ("train/label/1.png", "has no instance map"),
        ("val/instance/0.png", "is 24 x 24 pixels and its label map 32 x 24"),
        ("val/instance/1.png", "not an image: damaged header, zero size, or none of PNG"),
        ("val/instance/7.png", "has no label map"),
    ]


def test_an_archive_of_the_other_form_is_named(tmp_path: Path) -> None:
    out = prepared(own(tmp_path / "set"), tmp_path / "out", INSTANCES)
    info = load_info(out / "dataset.json")
    plain = prepared(tmp_path / "set", tmp_path / "plain", WITHOUT)
    with pytest.raises(UserError, match=r"train\.zip: damaged \(input/0\.png is of mode L, expected LA\)"):
        load_split(plain / "train.zip", info)
    with zipfile.ZipFile(out / "train.zip") as archive, archive.open("input/0.png") as entry:
        assert Image.open(entry).mode == "LA"
    path = out / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"edges": "yes"}))
    with pytest.raises(UserError, match=r"not a data set description .*expected true or false, found 'yes'"):
        load_info(path)


def test_drawn_cars_and_people_are_told_apart(tmp_path: Path) -> None:
    size, apart = (64, 64), 0
    for index in range(6):
        photo_, label_ = draw(0, "train", index, size)
        same_photo, same_label, found = draw_instances(0, "train", index, size)
        assert np.array_equal(photo_, same_photo) and np.array_equal(label_, same_label)
        things = np.isin(label_, (Label.CAR, Label.PEDESTRIAN))
        assert np.array_equal(found[~things], label_[~things]) and (found[things] >= len(Label)).all()
        beyond = instance_edges(found).astype(bool) & ~instance_edges(label_).astype(bool)
        assert not (beyond & ~things).any()  # what a label map does not show: where one thing hides another
        assert (instance_edges(found) >= instance_edges(label_)).all()
        apart += int(beyond.sum())
    assert apart > 20
    path = tmp_path / "streets.yaml"
    drawn = {"drawn": "street-scenes", "seed": 0, "train": 2, "val": 1, "test": 1, "licence": "CC0-1.0"}
    path.write_text(yaml.safe_dump(drawn))
    source = open_source(path, INSTANCES)
    assert isinstance(source, DrawnSet) and source.instances
    first = source.read("train", source.items("train")[1], size)["input"]
    _, label_, found = draw_instances(0, "train", 1, size)
    assert np.array_equal(first.pixels, np.dstack([label_, instance_edges(found)]))
    assert first.labels is not None and np.array_equal(first.labels, label_)
    assert np.array_equal(list(source.load("train", size))[1]["input"].pixels, first.pixels)
