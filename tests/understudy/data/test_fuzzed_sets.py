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
from paired_set import CLASSES, label, photo
from PIL import Image

from understudy.data.classes import parse_description
from understudy.data.prepare import open_source, prepare
from understudy.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
FEW = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def content(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, options.pop("format", "PNG"), **options)
    return stream.getvalue()


PHOTO, LABEL, JPEG = content(photo(0)), content(label(0)), content(photo(1), format="JPEG")
DESCRIPTIONS = [json.dumps(CLASSES | extra).encode() for extra in ({}, {"direction": "BtoA"})]
FOLDERS = ["train", "val", "test", "photo", "label", "trainA", "trainB", "A", "B", "images", "labels", "leftImg8bit",
           "gtFine", "ulm", "train_img", "train_label", "..", ".", "", "C:", "街", "__MACOSX"]  # fmt: skip
FILES = ["0.png", "0.jpg", "1.png", "classes.json", "ulm_leftImg8bit.png", "ulm_gtFine_labelIds.png", "a\nb.png", "x"]
paths = st.builds(
    lambda folders, file: "/".join([*folders, file]),
    st.lists(st.sampled_from(FOLDERS), max_size=4),
    st.sampled_from(FILES),
)
contents = st.one_of(
    st.sampled_from([PHOTO, LABEL, JPEG, *DESCRIPTIONS, b""]),
    st.binary(max_size=40),
    st.builds(lambda whole, cut: whole[:cut], st.sampled_from([PHOTO, LABEL]), st.integers(0, len(LABEL))),
)
entries = st.lists(st.tuples(paths, contents), max_size=12)
KINDS = ["{split}/photo", "{split}/label"], ["{split}A", "{split}B"], ["images/{split}", "labels/{split}"]


def read(name: str, archive: bytes) -> None:
    """Prepare the archive: a UserError and nothing, or the six files; and no other file anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "a" / "b"
        work.mkdir(parents=True)
        (work / name).write_bytes(archive)
        try:
            prepare(open_source(work / name), (24, 32), work / "out", lambda done, total: None)
            made = {"train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png"}
        except UserError as error:
            assert str(error).startswith("prepare.source: ")
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


@FEW
@given(entries, st.sampled_from(["set.zip", "set.tar"]))
def test_archives_of_any_entries(files: list[tuple[str, bytes]], name: str) -> None:
    read(name, zipped(files) if name == "set.zip" else tarred(files))


@FEW
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 11), contents), max_size=3), entries)
def test_sets_in_which_some_files_are_spoilt(
    folders: list[str], spoilt: list[tuple[int, bytes]], more: list[tuple[str, bytes]]
) -> None:
    files = [
        (f"{folder.format(split=split)}/{number}.png", data)
        for split in ("train", "val", "test")
        for number in range(2)
        for folder, data in zip(folders, (PHOTO, LABEL), strict=True)
    ]
    for place, data in spoilt:
        files[place] = files[place][0], data
    read("set.zip", zipped([*files, ("classes.json", DESCRIPTIONS["A" in folders[0]]), *more[:2]]))


@FEW
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.sampled_from(["set.zip", "set.tar"]))
def test_archives_with_damage_anywhere(place: int, damage: bytes, name: str) -> None:
    files = [(f"{split}/{kind}/0.png", data) for split in ("train", "val", "test")
             for kind, data in (("photo", PHOTO), ("label", LABEL))]  # fmt: skip
    files.append(("classes.json", DESCRIPTIONS[0]))
    whole = bytearray(zipped(files) if name == "set.zip" else tarred(files))
    start = place % len(whole)
    whole[start : start + len(damage)] = damage
    read(name, bytes(whole))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@FEW
@given(json_values | st.fixed_dictionaries({}, optional=dict.fromkeys((*CLASSES, "direction"), json_values)))
def test_descriptions_of_any_values(value: object) -> None:
    for data in (
        json.dumps(value).encode(),
        json.dumps(CLASSES | value if isinstance(value, dict) else value).encode(),
    ):
        try:
            parse_description(data, "classes.json")
        except UserError as error:
            assert "classes.json: " in str(error)
