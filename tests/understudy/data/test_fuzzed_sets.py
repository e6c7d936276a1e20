"""Archives and descriptions that nobody would make on purpose: one clear error or a whole result, nothing else."""

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paired_set import CLASSES, LABEL_MAPS, label, photo, prepared
from peak_memory import bounded
from PIL import Image

from understudy.data.classes import parse_classes
from understudy.data.source import Wanted
from understudy.data.terms import KINDS, SPLITS, Direction
from understudy.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")]
MANY = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
MEMORY = "/dev/shm"  # a folder that no disk has to keep up with


def content(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, options.pop("format", "PNG"), **options)
    return stream.getvalue()


def odd(mode: str, size: tuple[int, int], values: bytes) -> bytes:
    """An image of any mode and size, of which these values are the pixels, over and over."""
    length = len(Image.new(mode, size).tobytes())
    pixels = (values * (length // len(values) + 1))[:length]
    return content(Image.frombytes(mode, size, pixels), format="TIFF" if mode in ("I", "F", "CMYK") else "PNG")


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """A and B in one image."""
    return Image.fromarray(np.concatenate([np.asarray(side.convert("RGB")) for side in (left, right)], axis=1))


PHOTO, LABEL, JPEG = content(photo(0)), content(label(0)), content(photo(1), format="JPEG")
INSTANCES = content(Image.fromarray((np.arange(24 * 32).reshape(24, 32) // 100 + 24000).astype(np.uint16)))
IDS = content(Image.fromarray(np.asarray(label(0))))  # label ids without colours of their own
PHOTOS, LABELLED = content(beside(photo(0), photo(1))), content(beside(label(0), photo(0)))
DESCRIPTION = json.dumps(CLASSES).encode()
FOLDERS = ["train", "val", "test", "photo", "label", "trainA", "trainB", "A", "B", "images", "labels",
           "leftImg8bit", "gtFine", "ulm", "train_img", "train_label", "train_inst",
           "..", ".", "", "C:", "街", "__MACOSX"]  # fmt: skip
FILES = ["0.png", "0.jpg", "1.png", "classes.json", "ulm_leftImg8bit.png", "ulm_gtFine_labelIds.png", "a\nb.png", "x"]
paths = st.builds(
    lambda folders, file: "/".join([*folders, file]),
    st.lists(st.sampled_from(FOLDERS), max_size=4),
    st.sampled_from(FILES),
)
odd_images = st.builds(
    odd,
    st.sampled_from(["1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I", "F", "CMYK"]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.binary(min_size=1, max_size=9),
)
damaged_images = st.builds(
    lambda whole, place, damage: whole[:place] + damage + whole[place + len(damage) :],
    st.sampled_from([PHOTO, LABEL, JPEG, INSTANCES, LABELLED]), st.integers(0, len(LABEL)),
    st.binary(min_size=1, max_size=4),
)  # fmt: skip
contents = st.one_of(
    odd_images,
    damaged_images,
    st.sampled_from([PHOTO, LABEL, JPEG, INSTANCES, LABELLED, DESCRIPTION, b""]),
    st.binary(max_size=40),
    st.builds(lambda whole, cut: whole[:cut], st.sampled_from([PHOTO, LABEL]), st.integers(0, len(LABEL))),
)
entries = st.lists(st.tuples(paths, contents), max_size=12)
wishes = st.builds(Wanted, st.sampled_from(KINDS), st.sampled_from([None, "AtoB", "BtoA"]), st.booleans())


class Set(NamedTuple):
    """files: path and content of each. wanted: what it is read as."""

    files: list[tuple[str, bytes]]
    wanted: Wanted


def laid(wanted: Wanted, *kinds: tuple[str, bytes]) -> Set:
    """Two files of each kind in each split. kinds: folder or start of the path, in which {split} stands for it."""
    files = [
        (f"{path.format(split=split)}/{n}.png", data) for split in SPLITS for n in range(2) for path, data in kinds
    ]
    return Set([*files, *([("classes.json", DESCRIPTION)] if wanted.kind == "labels" else [])], wanted)


def cityscapes() -> Set:
    files = [
        (f"{folder}/{split}/{city}/{city}_0_{ending}.png", data)
        for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "lindau"))
        for folder, ending, data in (("leftImg8bit", "leftImg8bit", PHOTO), ("gtFine", "gtFine_labelIds", IDS),
                                     ("gtFine", "gtFine_instanceIds", INSTANCES))
    ]  # fmt: skip
    return Set(files, WITH_INSTANCES)


WITH_INSTANCES = Wanted("labels", None, instances=True)
SETS = {
    "own": laid(LABEL_MAPS, ("{split}/photo", PHOTO), ("{split}/label", LABEL)),
    "labels-b": laid(Wanted("labels", "BtoA"), ("{split}A", PHOTO), ("{split}B", LABEL)),
    "images-labels": laid(LABEL_MAPS, ("images/{split}", PHOTO), ("labels/{split}", LABEL)),
    "photos": laid(Wanted("photos", "AtoB"), ("{split}A", PHOTO), ("{split}B", JPEG)),
    "unpaired": laid(Wanted("unpaired", "AtoB"), ("{split}A", PHOTO), ("{split}B", JPEG)),
    "unpaired-sides": laid(Wanted("unpaired", "BtoA"), ("A/{split}", PHOTO), ("B/{split}", JPEG)),
    "sides-alone": Set(
        [(f"{side}/{n}.png", data) for n in range(4) for side, data in (("A", PHOTO), ("B", JPEG))],
        Wanted("unpaired", "AtoB"),
    ),
    "aligned-labels": laid(Wanted("labels", "AtoB"), ("{split}", LABELLED)),
    "aligned-photos": laid(Wanted("photos", "BtoA"), ("{split}", PHOTOS)),
    "pix2pixhd": laid(WITH_INSTANCES, ("{split}_img", PHOTO), ("{split}_label", LABEL), ("{split}_inst", INSTANCES)),
    "cityscapes": cityscapes(),
}
sets = st.sampled_from(list(SETS.values()))


def read(name: str, archive: bytes, wanted: Wanted) -> UserError | None:
    """Prepare the archive: a UserError and nothing, or None and the six files; and no other file anywhere."""
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder, bounded(200):
        work = Path(folder) / "a" / "b"
        work.mkdir(parents=True)
        (work / name).write_bytes(archive)
        try:
            prepared(work / name, work / "out", wanted, (24, 32))
            made = {"train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png"}
            refusal = None
        except UserError as error:
            assert str(error).startswith(
                tuple(f"prepare.{key}: " for key in ("source", "kind", "direction", "instances"))
            )
            made, refusal = set(), error
        found = {path.relative_to(work).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
        assert found == {name} | {f"out/{file}" for file in made}
        return refusal


def zipped(files: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, data in files:
            archive.writestr(zipfile.ZipInfo(path), data, compression)
    return stream.getvalue()


def deflated(files: list[tuple[str, bytes]]) -> bytes:
    return zipped(files, zipfile.ZIP_DEFLATED)


def tarred(files: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, data in files:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def gzipped(files: list[tuple[str, bytes]]) -> bytes:
    return gzip.compress(tarred(files), mtime=0)


ARCHIVES = {"set.zip": zipped, "deflated.zip": deflated, "set.tar": tarred, "set.tar.gz": gzipped}
archives = st.sampled_from(list(ARCHIVES))


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("kind", SETS)
def test_a_set_that_nobody_spoilt_is_read(kind: str, name: str) -> None:
    """What the tests below spoil: were it refused as it is, they would see no more than that."""
    assert read(name, ARCHIVES[name](SETS[kind].files), SETS[kind].wanted) is None


@MANY
@given(entries, archives, wishes)
def test_archives_of_any_entries(files: list[tuple[str, bytes]], name: str, wanted: Wanted) -> None:
    read(name, ARCHIVES[name](files), wanted)


@MANY
@given(sets, st.lists(st.tuples(st.integers(0, 17), contents), max_size=3), entries)
def test_sets_in_which_some_files_are_spoilt(
    kind: Set, spoilt: list[tuple[int, bytes]], more: list[tuple[str, bytes]]
) -> None:
    files = list(kind.files)
    for place, data in spoilt:
        files[place % len(files)] = files[place % len(files)][0], data
    read("set.zip", zipped([*files, *more[:2]]), kind.wanted)


@MANY
@given(
    st.sampled_from(["AtoB", "BtoA"]),
    st.lists(st.tuples(st.sampled_from(SPLITS), st.sampled_from("AB"), st.integers(0, 40), contents), max_size=60),
)
def test_unpaired_sets_of_any_files(direction: Direction, more: list[tuple[str, str, int, bytes]]) -> None:
    """Sides of different length, splits that are missing on one side or both, names that both sides have."""
    files = {f"{split}{side}/{number}.png": data for split, side, number, data in more}
    read("set.zip", zipped(list(files.items())), Wanted("unpaired", direction))


@MANY
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), archives, sets)
def test_archives_with_damage_anywhere(place: int, damage: bytes, name: str, kind: Set) -> None:
    whole = bytearray(ARCHIVES[name](kind.files))
    start = place % len(whole)
    whole[start : start + len(damage)] = damage
    read(name, bytes(whole), kind.wanted)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@MANY
@given(json_values | st.fixed_dictionaries({}, optional=dict.fromkeys(CLASSES, json_values)))
def test_descriptions_of_any_values(value: object) -> None:
    for data in (
        json.dumps(value).encode(),
        json.dumps(CLASSES | value if isinstance(value, dict) else value).encode(),
    ):
        try:
            parse_classes(data, "classes.json")
        except UserError as error:
            assert "classes.json: " in str(error)
