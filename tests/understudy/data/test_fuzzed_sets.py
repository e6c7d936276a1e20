"""Archives and descriptions that nobody would make on purpose: one clear error or a whole result, nothing else."""

import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paired_set import CLASSES, LABEL_MAPS, label, photo, prepared
from peak_memory import bounded
from PIL import Image

from understudy.data.classes import parse_classes
from understudy.data.source import Wanted
from understudy.data.terms import KINDS, SPLITS
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


PHOTO, LABEL, JPEG = content(photo(0)), content(label(0)), content(photo(1), format="JPEG")
DESCRIPTION = json.dumps(CLASSES).encode()
FOLDERS = ["train", "val", "test", "photo", "label", "trainA", "trainB", "A", "B", "images", "labels", "leftImg8bit",
           "gtFine", "ulm", "train_img", "train_label", "..", ".", "", "C:", "街", "__MACOSX"]  # fmt: skip
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
    st.sampled_from([PHOTO, LABEL, JPEG]), st.integers(0, len(LABEL)), st.binary(min_size=1, max_size=4),
)  # fmt: skip
contents = st.one_of(
    odd_images,
    damaged_images,
    st.sampled_from([PHOTO, LABEL, JPEG, DESCRIPTION, b""]),
    st.binary(max_size=40),
    st.builds(lambda whole, cut: whole[:cut], st.sampled_from([PHOTO, LABEL]), st.integers(0, len(LABEL))),
)
entries = st.lists(st.tuples(paths, contents), max_size=12)
wishes = st.builds(Wanted, st.sampled_from(KINDS), st.sampled_from([None, "AtoB", "BtoA"]))
# Two folders of a set, what lies in them, and what is wanted of it.
SETS = [
    (("{split}/photo", PHOTO), ("{split}/label", LABEL), LABEL_MAPS),
    (("{split}A", PHOTO), ("{split}B", LABEL), Wanted("labels", "BtoA")),
    (("images/{split}", PHOTO), ("labels/{split}", LABEL), LABEL_MAPS),
    (("{split}A", PHOTO), ("{split}B", JPEG), Wanted("photos", "AtoB")),
    (("{split}A", PHOTO), ("{split}B", JPEG), Wanted("unpaired", "AtoB")),
    (("A/{split}", PHOTO), ("B/{split}", JPEG), Wanted("unpaired", "BtoA")),
]


def read(name: str, archive: bytes, wanted: Wanted) -> None:
    """Prepare the archive: a UserError and nothing, or the six files; and no other file anywhere."""
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder, bounded(200):
        work = Path(folder) / "a" / "b"
        work.mkdir(parents=True)
        (work / name).write_bytes(archive)
        try:
            prepared(work / name, work / "out", wanted, (24, 32))
            made = {"train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png"}
        except UserError as error:
            assert str(error).startswith(("prepare.source: ", "prepare.kind: ", "prepare.direction: "))
            made = set()
        found = {path.relative_to(work).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
        assert found == {name} | {f"out/{file}" for file in made}


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, data in files:
            archive.writestr(zipfile.ZipInfo(path), data)
    return stream.getvalue()


def tarred(files: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, data in files:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


@MANY
@given(entries, st.sampled_from(["set.zip", "set.tar"]), wishes)
def test_archives_of_any_entries(files: list[tuple[str, bytes]], name: str, wanted: Wanted) -> None:
    read(name, zipped(files) if name == "set.zip" else tarred(files), wanted)


@MANY
@given(st.sampled_from(SETS), st.lists(st.tuples(st.integers(0, 11), contents), max_size=3), entries)
def test_sets_in_which_some_files_are_spoilt(
    kind: tuple, spoilt: list[tuple[int, bytes]], more: list[tuple[str, bytes]]
) -> None:
    *folders, wanted = kind
    files = [
        (f"{folder.format(split=split)}/{number}.png", data)
        for split in ("train", "val", "test")
        for number in range(2)
        for folder, data in folders
    ]
    for place, data in spoilt:
        files[place] = files[place][0], data
    described = [("classes.json", DESCRIPTION)] if wanted.kind == "labels" else []
    read("set.zip", zipped([*files, *described, *more[:2]]), wanted)


@MANY
@given(
    st.sampled_from(SETS),
    st.lists(st.tuples(st.sampled_from(SPLITS), st.sampled_from("AB"), st.integers(0, 40), contents), max_size=60),
)
def test_unpaired_sets_of_any_files(kind: tuple, more: list[tuple[str, str, int, bytes]]) -> None:
    """Sides of different length, splits that are missing on one side or both, names that both sides have."""
    files = {f"{split}{side}/{number}.png": data for split, side, number, data in more}
    read("set.zip", zipped(list(files.items())), Wanted("unpaired", kind[2].direction))


@MANY
@given(
    st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.sampled_from(["set.zip", "set.tar"]),
    st.sampled_from(SETS),
)  # fmt: skip
def test_archives_with_damage_anywhere(place: int, damage: bytes, name: str, kind: tuple) -> None:
    *folders, wanted = kind
    files = [(f"{folder.format(split=split)}/0.png", data) for split in SPLITS for folder, data in folders]
    files.append(("classes.json", DESCRIPTION) if wanted.kind == "labels" else ("README", b"terms"))
    whole = bytearray(zipped(files) if name == "set.zip" else tarred(files))
    start = place % len(whole)
    whole[start : start + len(damage)] = damage
    read(name, bytes(whole), wanted)


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
