from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy.data.manifest import COLUMNS, Row, describe, difference_hash, read_manifest, write_manifest
from understudy.data.source import Picture
from understudy.data.terms import SIDES
from understudy.errors import DATA_FAILED, UserError


def smooth(seed: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def row(name: str = "a, b") -> Row:
    label = np.array([[0, 2], [2, 5]], np.uint8)
    photo = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 0], [0, 0, 255]]], np.uint8)
    pair = {
        "input": Picture("l/a, b.png", label, (240, 320), "P"),
        "photo": Picture("p/a, b.jpg", photo, (240, 320), "CMYK"),
    }
    (made,) = describe(name, "train", pair, 'CC "BY", 4')
    return made


def test_row_says_what_the_pair_holds() -> None:
    made = row()
    assert (made.width, made.height, made.source_width, made.source_height) == (2, 2, 320, 240)
    assert (made.path, made.source_mode, made.label_mode) == ("p/a, b.jpg", "CMYK", "P")
    assert (made.side, made.classes) == ("photo", "0 2 5")
    assert (made.red, made.green, made.blue, made.brightness) == (0.25, 0.25, 0.25, 0.25)
    assert made.contrast == pytest.approx(np.sqrt(0.25 * 0.75), abs=1e-6)


def test_inputs_that_are_photos_have_a_row_of_their_own() -> None:
    sides = {side: Picture(f"{side}.jpg", smooth(seed), (64, 64), "RGB") for seed, side in enumerate(SIDES)}
    first, second = describe("a", "val", sides, "unknown")
    assert (first.side, first.path, second.side, second.path) == ("input", "input.jpg", "photo", "photo.jpg")
    assert first.name == second.name == "a" and first.photo_sha256 != second.photo_sha256
    assert {(row.label_mode, row.label_sha256, row.classes) for row in (first, second)} == {("", "", "")}
    assert describe("a", "val", {"photo": sides["photo"]}, "unknown") == [second]


def test_manifest_comes_back_as_written(tmp_path: Path) -> None:
    rows = [row("a, b"), row("街 道"), replace(row("c"), split="test")]
    write_manifest(tmp_path / "manifest.csv", rows)
    table = read_manifest(tmp_path / "manifest.csv")
    assert tuple(table) == COLUMNS and COLUMNS[:3] == ("name", "path", "split")
    floats = {"brightness", "red", "green", "blue", "contrast"}
    for column, cells in table.items():
        values = [getattr(row, column) for row in rows]
        assert cells == [f"{value:.6f}" if column in floats else str(value) for value in values]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"name,split\na,b\nc\n", "row 3"),
        (b"name\n\xff\n", "cannot be read as a table"),
        (b"name,name\na,b\n", "two columns of one name"),
        (None, "cannot be read as a table.*dvc repro prepare"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(path)
    assert caught.value.code == DATA_FAILED


def hash_distance(a: str, b: str) -> int:
    """In how many bits two difference hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_hash_survives_resizing_and_brightness_and_tells_scenes_apart() -> None:
    photo = smooth(0)
    darker = (photo * 0.7).astype(np.uint8)
    larger = np.asarray(Image.fromarray(photo).resize((150, 130), Image.Resampling.BICUBIC))
    assert hash_distance(difference_hash(photo), difference_hash(darker)) <= 3
    assert hash_distance(difference_hash(photo), difference_hash(larger)) <= 3
    assert hash_distance(difference_hash(photo), difference_hash(smooth(1))) > 12
    assert hash_distance(difference_hash(photo), difference_hash(photo[:, ::-1])) > 12


def test_hash_bits_are_darker_than_the_right_neighbour() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], (80, 90, 3)).copy()
    assert difference_hash(ramp) == "f" * 16
    assert difference_hash(ramp[:, ::-1].copy()) == "0" * 16
