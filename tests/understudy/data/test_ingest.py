import io
import json
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from paired_set import CLASSES, LABEL_MAPS, SIZE, label, photo, prepared, read_pair, tarred, write_set, zipped
from PIL import Image

from understudy.data.classes import parse_classes
from understudy.data.container import MAX_FILE
from understudy.data.manifest import read_manifest
from understudy.data.pictures import PHOTO_MODES
from understudy.data.prepare import expected_seconds, open_source
from understudy.errors import BAD_INPUT, UserError
from understudy.params.check import Check
from understudy.params.loader import load

OUTPUTS = ("train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def run(source: Path, out: Path, size: tuple[int, int] = (16, 20)) -> Path:
    return prepared(source, out, size=size)


def refused(source: Path) -> str:
    """The error's message; checks that nothing was written."""
    out = source.parent / "out"
    with pytest.raises(UserError) as caught:
        run(source, out)
    assert caught.value.code == BAD_INPUT
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def test_folder_zip_and_tars_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    sources = {
        "folder": folder,
        "zip": zipped(folder, tmp_path / "set.zip"),
        "zip in a folder": zipped(folder, tmp_path / "packed" / "set.zip", "streets/"),
        "tar": tarred(folder, tmp_path / "set.tar"),
        "tar.gz": tarred(folder, tmp_path / "set.tar.gz", "w:gz"),
        "tar.xz": tarred(folder, tmp_path / "set.tar.xz", "w:xz"),
    }  # fmt: skip
    made = {kind: run(source, tmp_path / "out" / kind) for kind, source in sources.items()}
    for name in OUTPUTS:
        contents = {(out / name).read_bytes() for out in made.values()}
        assert len(contents) == 1, name


def test_labels_keep_their_classes_and_photos_their_look(folder: Path) -> None:
    pair = read_pair(folder, "train", "0", SIZE)
    assert np.array_equal(pair["input"].pixels, np.asarray(label(0)))
    assert np.array_equal(pair["photo"].pixels, np.asarray(photo(0)))
    assert (pair["photo"].source_size, pair["photo"].mode, pair["input"].mode) == (SIZE, "RGB", "P")


def test_resizing_to_any_aspect_keeps_class_ids(folder: Path) -> None:
    pair = read_pair(folder, "train", "0", (16, 48))
    assert pair["photo"].pixels.shape == (16, 48, 3)
    assert pair["input"].pixels.shape == (16, 48)
    assert set(np.unique(pair["input"].pixels)) <= {0, 1, 2}


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, options.pop("format", "PNG"), **options)
    return stream.getvalue()


def huge_png() -> bytes:
    """A small file whose header promises 20,000 x 20,000 pixels."""
    import struct
    import zlib

    content = bytearray(png(Image.new("L", (8, 8))))
    content[16:24] = struct.pack(">II", 20000, 20000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


def zero_bmp() -> bytes:
    """A BMP of width 0."""
    content = bytearray(png(Image.new("RGB", (4, 4)), format="BMP"))
    content[18:22] = bytes(4)
    return bytes(content)


PHOTO_FAULTS = {
    "not an image": (b"these are no pixels", "not an image"),
    "truncated": (png(photo(0))[:-400], "corrupt or truncated"),
    "truncated JPEG": (png(photo(0), format="JPEG")[:-200], "corrupt or truncated"),
    "empty": (b"", "empty file"),
    "bomb": (huge_png(), "enormous"),
    "zero size": (zero_bmp(), "zero size"),
    "Lab": (png(Image.new("LAB", (32, 24)), format="TIFF"), "pixels of mode LAB"),
    "float": (png(Image.new("F", (32, 24)), format="TIFF"), "floating-point"),
    "size": (png(photo(0, (24, 30))), "30 x 24"),
}


@pytest.mark.parametrize("fault", PHOTO_FAULTS)
def test_bad_photo_is_named_with_its_reason(folder: Path, fault: str) -> None:
    content, reason = PHOTO_FAULTS[fault]
    (folder / "train" / "photo" / "0.png").write_bytes(content)
    message = refused(folder)
    assert "train/" in message and "/0.png" in message
    assert reason in message


def test_corrupt_pixels_are_found_before_anything_is_written(folder: Path) -> None:
    path = folder / "test" / "photo" / "1.png"
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)
    assert "test/photo/1.png: corrupt or truncated" in refused(folder)


LABEL_FAULTS = {
    "value": (png(Image.fromarray(np.full(SIZE, 7, np.uint8))), "label value 7 out of range: classes are 0 to 2"),
    "colour": (png(Image.new("RGB", SIZE[::-1], (1, 2, 3))), "colour (1, 2, 3) is not in the palette"),
    "jpeg": (png(Image.new("L", SIZE[::-1]), format="JPEG"), "none of PNG"),
    "transparent": (png(Image.new("RGBA", SIZE[::-1], (70, 70, 70, 9))), "transparent"),
    "16 bit": (png(Image.fromarray(np.full(SIZE, 300, np.uint16))), "label value 300 out of range"),
}


@pytest.mark.parametrize("fault", LABEL_FAULTS)
def test_bad_label_is_named_with_its_reason(folder: Path, fault: str) -> None:
    content, reason = LABEL_FAULTS[fault]
    (folder / "val" / "label" / "1.png").write_bytes(content)
    message = refused(folder)
    assert "val/label/1.png: " in message and reason in message


def test_palette_that_contradicts_its_classes_is_refused(folder: Path) -> None:
    image = label(0)
    image.putpalette([70, 70, 70, 128, 64, 128, 0, 0, 0])  # the colours of road and house exchanged
    image.save(folder / "train" / "label" / "0.png")
    assert "index 0 (road) is drawn in the colour of house" in refused(folder)


def test_every_bad_file_is_listed_at_once(folder: Path) -> None:
    (folder / "train" / "photo" / "0.png").write_bytes(b"")
    (folder / "train" / "label" / "1.png").write_bytes(b"no")
    (folder / "val" / "photo" / "1.png").unlink()
    (folder / "test" / "label" / "0.png").unlink()
    photo(0).save(folder / "test" / "photo" / "1.jpg")
    message = refused(folder)
    for expected in (
        "5 problems",
        "train/photo/0.png: empty",
        "train/label/1.png: not an image",
        "val/label/1.png: has no photo",
        "test/photo/0.png: has no label map",
        "same name as",
    ):
        assert expected in message


def test_both_files_of_a_pair_are_named(folder: Path) -> None:
    for kind in ("photo", "label"):
        (folder / "val" / kind / "0.png").write_bytes(b"")
    message = refused(folder)
    assert "val/photo/0.png: empty" in message and "val/label/0.png: empty" in message


def grey(seed: int) -> np.ndarray:
    return np.asarray(photo(seed).convert("L"))


PHOTO_CONVERSIONS = {
    "L": (lambda: Image.fromarray(grey(0)), lambda: np.stack([grey(0)] * 3, -1), "PNG", 0),
    "1": (lambda: Image.new("1", SIZE[::-1], 1), lambda: np.full((*SIZE, 3), 255), "PNG", 0),
    "LA": (lambda: Image.new("LA", SIZE[::-1], (0, 0)), lambda: np.full((*SIZE, 3), 255), "PNG", 0),
    "RGBA": (lambda: Image.new("RGBA", SIZE[::-1], (255, 0, 0, 51)), lambda: np.full((*SIZE, 3), (255, 204, 204)),
             "PNG", 1),
    "YCbCr": (lambda: photo(0).convert("YCbCr"), lambda: np.asarray(photo(0)), "TIFF", 3),
    "CMYK": (lambda: photo(0).convert("CMYK"), lambda: np.asarray(photo(0)), "TIFF", 2),
    "P": (lambda: photo(0).convert("L").convert("P"), lambda: np.stack([grey(0)] * 3, -1), "PNG", 0),
    "I;16": (lambda: Image.fromarray(grey(0).astype(np.uint16) * 257), lambda: np.stack([grey(0)] * 3, -1), "PNG", 0),
}  # fmt: skip


@pytest.mark.parametrize("mode", PHOTO_CONVERSIONS)
def test_photo_of_any_mode_becomes_rgb(folder: Path, mode: str) -> None:
    make, expected, file_format, tolerance = PHOTO_CONVERSIONS[mode]
    make().save(folder / "train" / "photo" / "0.png", file_format)
    pair = read_pair(folder, "train", "0", SIZE)
    assert pair["photo"].mode == mode
    assert np.abs(pair["photo"].pixels.astype(int) - expected()).max() <= tolerance


def test_cmyk_jpeg_is_not_inverted(folder: Path) -> None:
    (folder / "train" / "photo" / "0.png").unlink()
    Image.new("RGB", SIZE[::-1], (200, 40, 40)).convert("CMYK").save(folder / "train" / "photo" / "0.jpg", quality=95)
    pair = read_pair(folder, "train", "0", SIZE)
    assert np.abs(pair["photo"].pixels.mean(axis=(0, 1)) - (200, 40, 40)).max() < 6


def test_exif_orientation_is_applied(folder: Path) -> None:
    upright = photo(5)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    upright.rotate(90, expand=True).save(folder / "train" / "photo" / "0.png", exif=exif)
    assert np.array_equal(read_pair(folder, "train", "0")["photo"].pixels, np.asarray(upright))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16"])
def test_label_of_any_mode_becomes_class_ids(folder: Path, mode: str) -> None:
    ids = np.asarray(label(0))
    images = {"L": Image.fromarray(ids), "I;16": Image.fromarray(ids.astype(np.uint16)),
              "RGB": label(0).convert("RGB"), "RGBA": label(0).convert("RGBA")}  # fmt: skip
    images[mode].save(folder / "train" / "label" / "0.png")
    pair = read_pair(folder, "train", "0", SIZE)
    assert np.array_equal(pair["input"].pixels, ids)
    assert pair["input"].mode == mode


def test_names_with_spaces_and_unicode_survive(folder: Path, tmp_path: Path) -> None:
    decomposed, composed = "rue de\u0301serte 1", "rue d\u00e9serte 1"
    for old, new in (("photo/0.png", f"photo/{decomposed}.png"), ("label/0.png", f"label/{composed}.png")):
        (folder / "train" / old).rename(folder / "train" / new)
    photo(9).save(folder / "train" / "photo" / "街 道.png")
    label(9).save(folder / "train" / "label" / "街 道.png")
    for source in (folder, zipped(folder, tmp_path / "set.zip"), tarred(folder, tmp_path / "set.tar")):
        out = run(source, tmp_path / f"out-{source.name}")
        assert set(read_manifest(out / "manifest.csv")["name"]) >= {composed, "街 道"}
        with zipfile.ZipFile(out / "train.zip") as archive:
            assert f"photo/{composed}.png" in archive.namelist()


def test_control_characters_and_nested_folders_are_refused(folder: Path) -> None:
    photo(1).save(folder / "train" / "photo" / "a\tb.png")
    (folder / "train" / "photo" / "city").mkdir()
    photo(1).save(folder / "train" / "photo" / "city" / "c.png")
    message = refused(folder)
    assert "control character" in message and "train/photo/city/c.png: lies in a folder below" in message


def test_litter_of_operating_systems_is_left_out(folder: Path, tmp_path: Path) -> None:
    clean = run(folder, tmp_path / "clean")
    (folder / "train" / "photo" / ".DS_Store").write_bytes(b"x")
    (folder / "val" / "label" / "Thumbs.db").write_bytes(b"x")
    source = zipped(
        folder, tmp_path / "set.zip", extra={"__MACOSX/classes.json": b"x", "__MACOSX/train/photo/._0": b"x"}
    )
    dirty = run(source, tmp_path / "dirty")
    assert all((clean / name).read_bytes() == (dirty / name).read_bytes() for name in OUTPUTS)


def test_zip_entries_that_climb_out_are_refused(folder: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("train/photo/link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    source = zipped(
        folder, tmp_path / "set.zip", extra={"../evil.png": b"x", "/etc/evil.png": b"x", "a\\..\\..\\b": b"x"}
    )
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    message = refused(source)
    assert "../evil.png: climbs out" in message and "/etc/evil.png: absolute path" in message
    assert "a/../../b: climbs out" in message or "a\\..\\..\\b: climbs out" in message
    assert "train/photo/link.png: is a link" in message
    assert not (tmp_path.parent / "evil.png").exists()


def test_tar_entries_that_climb_out_are_refused(folder: Path, tmp_path: Path) -> None:
    extra = [tarfile.TarInfo(name) for name in ("../evil.png", "/etc/evil.png", "soft.png", "hard.png", "pipe")]
    for member, kind in zip(extra[2:], (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE), strict=True):
        member.type, member.linkname = kind, "/etc/passwd"
    message = refused(tarred(folder, tmp_path / "set.tar", extra=extra))
    for expected in ("../evil.png: climbs out", "/etc/evil.png: absolute", "soft.png: is a link", "hard.png: is a link",
                     "pipe: neither a file nor a folder"):  # fmt: skip
        assert expected in message


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "text"])
def test_damaged_archive_is_one_clear_error(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        content = zipped(folder, path).read_bytes()
    else:
        content = tarred(folder, path, f"w:{kind[4:]}").read_bytes() if kind != "text" else b"text" * 200
    path.write_bytes(content[: len(content) // 2])
    message = refused(path)
    assert path.name in message and ("damaged" in message or "neither" in message)


def test_tar_that_ends_inside_a_file_names_it(folder: Path, tmp_path: Path) -> None:
    path = tarred(folder, tmp_path / "set.tar")
    with tarfile.open(path) as archive:
        member = archive.getmember("val/photo/1.png")
    path.write_bytes(path.read_bytes()[: member.offset_data + 20])
    message = refused(path)
    assert "set.tar" in message and ("truncated" in message or "damaged" in message)


def test_entry_of_enormous_declared_size_is_not_read(folder: Path, tmp_path: Path) -> None:
    big = folder / "train" / "photo" / "0.png"
    with big.open("r+b") as stream:
        stream.truncate(MAX_FILE + 1)  # sparse: takes no disk
    assert "train/photo/0.png: enormous: 256 MB" in refused(folder)


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_a_compressed_tar_that_unpacks_without_end_is_a_bomb(packed, folder, tmp_path, monkeypatch) -> None:
    """Either bound alone lets a set pass: so many bytes, or so many for each that is packed."""
    (folder / "terms.txt").write_bytes(bytes(3 * 2**20))
    path = tarred(folder, tmp_path / f"set.tar.{packed}", f"w:{packed}")
    monkeypatch.setattr("understudy.data.container.MAX_UNPACKED", 2**20)
    monkeypatch.setattr("understudy.data.container.MAX_RATIO", 2)
    message = refused(path)
    assert message.startswith(f"prepare.source: {path}: enormous: unpacks to more than 1 MB; if that is meant, make it")
    for bound, enough in (("MAX_UNPACKED", 4 * 2**20), ("MAX_RATIO", 4 * 2**20 // path.stat().st_size + 1)):
        with monkeypatch.context() as other:
            other.setattr(f"understudy.data.container.{bound}", enough)
            assert run(path, tmp_path / bound).is_dir()


def test_flipped_bit_in_a_zip_names_the_entry(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder).as_posix())
    content = bytearray(path.read_bytes())
    start = content.index(b"train/photo/0.png") + 60
    content[start] ^= 255
    path.write_bytes(content)
    assert "train/photo/0.png: damaged in the archive" in refused(path)


def test_links_in_a_folder_are_followed_and_broken_ones_named(folder: Path, tmp_path: Path) -> None:
    target = folder / "train" / "photo" / "0.png"
    elsewhere = tmp_path / "elsewhere.png"
    target.rename(elsewhere)
    target.symlink_to(elsewhere)
    run(folder, tmp_path / "good")
    elsewhere.unlink()
    assert "train/photo/0.png: cannot be read" in refused(folder)


def test_an_xz_archive_damaged_in_its_middle_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    path = tarred(folder, tmp_path / "set.tar.xz", "w:xz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    assert "set.tar.xz: damaged" in refused(path)


def test_linked_folders_are_followed_and_a_loop_ends(folder: Path, tmp_path: Path) -> None:
    plain = run(folder, tmp_path / "plain")
    (folder / "val").rename(tmp_path / "elsewhere")
    (folder / "val").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    linked = run(folder, tmp_path / "linked")
    assert all((plain / name).read_bytes() == (linked / name).read_bytes() for name in OUTPUTS)


def test_the_manifest_tells_the_path_of_each_photo(folder: Path, tmp_path: Path) -> None:
    table = read_manifest(run(folder, tmp_path / "out") / "manifest.csv")
    assert table["path"] == [f"{split}/photo/{i}.png" for split in ("train", "val", "test") for i in range(2)]


def test_expected_time_grows_with_the_set_and_survives_bad_pairs(folder: Path) -> None:
    (folder / "train" / "photo" / "0.png").write_bytes(b"")
    assert 0 < expected_seconds(open_source(folder, LABEL_MAPS), SIZE, None) < 10


@pytest.mark.parametrize("recipe", ["params.yaml", "recipes/camvid-64.yaml", "recipes/street-scenes-long.yaml"])
def test_the_shipped_check_accepts_every_mode_that_is_converted(recipe: str, repo: Path) -> None:
    assert tuple(load(repo / recipe, (Check,))[Check].photo_modes) == PHOTO_MODES


def test_missing_split_is_named(folder: Path) -> None:
    for file in (folder / "val").rglob("*.png"):
        file.unlink()
    assert "val/photo/, val/label/: no file there" in refused(folder)


def test_missing_source_and_missing_classes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        open_source(tmp_path / "nothing", LABEL_MAPS)
    (folder / "classes.json").unlink()
    with pytest.raises(UserError, match=r"expected one classes\.json"):
        open_source(folder, LABEL_MAPS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["a"]}, "names: 2 to 256"),
        ({"names": ["a", "a", "b"]}, "same name"),
        ({"names": None}, "names: a list"),
        ({"palette": [[0, 0, 0]]}, "1 colours for 3 classes"),
        ({"palette": [[0, 0, 0], [0, 0, 0], [1, 1, 1]]}, "same colour"),
        ({"palette": [[0, 0, 256], [0, 0, 0], [1, 1, 1]]}, "each 0 to 255"),
        ({"ignore": 3}, "ignore: a class id from 0 to 2"),
        ({"ignore": True}, "ignore: a class id"),
        ({"licence": 3}, "licence"),
        ({"license": "MIT"}, "unknown key license"),
        ({"direction": "AtoB"}, "unknown key direction"),
    ],
)
def test_classes_json_is_checked(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_classes(json.dumps(CLASSES | change).encode(), "classes.json")


def test_ignore_and_licence_may_be_missing() -> None:
    found = parse_classes(json.dumps({"names": ["a", "b"], "palette": [[0, 0, 0], [1, 1, 1]]}).encode(), "x")
    assert (found.ignore, found.licence) == (None, "unknown")
