import struct
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from understudy.data.edges import instance_edges
from understudy.data.prepared import DatasetInfo
from understudy.errors import UserError
from understudy.translate import read_input, translate_files

PALETTE = ((0, 0, 0), (128, 64, 32), (70, 130, 180))
INFO = DatasetInfo("toy", "labels", (16, 16), ("void", "road", "sky"), PALETTE, 0, "CC0", {})
PHOTO_INFO = DatasetInfo("horses", "unpaired", (16, 16), (), (), None, "CC0", {})
LABELS = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3  # no multiple of 4


def paint(labels):
    """Stands for a network: uint8 [N, H, W] -> the palette's colours, uint8 [N, H, W, 3]."""
    return np.array(PALETTE, np.uint8)[labels]


def stored(path, kind):
    """LABELS in one of the ways in which label maps come."""
    colours = paint(LABELS)
    image = {
        "grey": lambda: Image.fromarray(LABELS),
        "grey16": lambda: Image.fromarray(LABELS.astype(np.uint16)),
        "rgb": lambda: Image.fromarray(colours),
        "rgba": lambda: Image.fromarray(np.dstack([colours, np.full((5, 7), 255, np.uint8)])),
    }
    if kind == "palette":
        made = Image.fromarray(LABELS).convert("P")
        made.putdata(LABELS.ravel().tolist())
        made.putpalette([7, 7, 7, 9, 9, 9, 1, 2, 3])  # colours that are not the data set's: the indices count
    else:
        made = image[kind]()
    made.save(path)
    return path


@pytest.mark.parametrize("kind", ["grey", "grey16", "palette", "rgb", "rgba"])
def test_every_kind_of_label_map_gives_the_same_classes(kind, tmp_path):
    labels = read_input(stored(tmp_path / "a b é.png", kind), INFO)
    assert labels.dtype == np.uint8 and np.array_equal(labels, LABELS)


def test_bilevel_images_hold_classes_0_and_1(tmp_path):
    Image.fromarray(LABELS == 1).save(tmp_path / "x.png")
    assert np.array_equal(read_input(tmp_path / "x.png", INFO), LABELS == 1)


def announce(path, width, height):
    """Let a PNG's header claim another size than it has."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def bad_files(folder):
    """Every kind of bad input, by the words that its error must have."""
    Image.fromarray(LABELS + 9).save(folder / "class.png")
    Image.fromarray(paint(LABELS) + 1).save(folder / "colour.png")
    Image.fromarray(np.dstack([paint(LABELS), LABELS])).save(folder / "clear.png")
    Image.fromarray(LABELS.astype(np.float32)).save(folder / "mode.tif")
    announce(stored(folder / "huge.png", "grey"), 2**13, 2**14)
    announce(stored(folder / "bomb.png", "grey"), 2**15, 2**15)
    (folder / "text.png").write_text("no image")
    (folder / "empty.png").touch()
    anew = Image.open(stored(folder / "sorted.png", "palette"))
    anew.putpalette([channel for index in (0, 2, 1) for channel in PALETTE[index]])
    anew.save(folder / "sorted.png")
    whole = stored(folder / "cut.png", "rgb").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return {
        "class.png": "label value 9, 10, 11 out of range: classes are 0 to 2",
        "colour.png": "colour (1, 1, 1), (71, 131, 181), (129, 65, 33) is not in the palette",
        "clear.png": "transparent",
        "mode.tif": "mode F",
        "huge.png": "enormous",
        "bomb.png": "enormous",
        "text.png": "not an image",
        "empty.png": "empty file",
        "cut.png": "corrupt or truncated",
        "sorted.png": "index 1 (road) is drawn in the colour of sky",
    }


def test_every_bad_input_is_listed_and_nothing_is_written(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    expected = bad_files(folder)
    stored(folder / "good.png", "grey")
    with pytest.raises(UserError) as caught:
        list(translate_files([folder, tmp_path / "gone.png"], tmp_path / "out", INFO, paint))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("11 bad input(s)") and len(lines) == 12
    for name, words in {**expected, "gone.png": "no such file"}.items():
        assert any(name in line and words in line for line in lines), name
    assert not (tmp_path / "out").exists()


def test_folders_and_files_are_translated_once_each(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    first = stored(folder / "a b.png", "rgb")
    stored(folder / "ü.tif", "grey")
    for ignored in (".hidden.png", "notes.txt", "photo.jpg"):
        (folder / ignored).write_text("not for translation")
    written = list(translate_files([folder, first], tmp_path / "out", INFO, paint))
    assert [path.name for path in written] == ["a b.png", "ü.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a b.png", "ü.png"]
    for path in written:
        assert np.array_equal(np.asarray(Image.open(path)), paint(LABELS))


def test_photos_never_overwrite_inputs_or_each_other(tmp_path):
    image = stored(tmp_path / "a.png", "grey")
    before = image.read_bytes()
    with pytest.raises(UserError, match="would be overwritten"):
        list(translate_files([image], tmp_path, INFO, paint))
    assert image.read_bytes() == before
    twin = stored(tmp_path / "a.tif", "grey")
    with pytest.raises(UserError, match=r"a\.png and .*a\.tif: one name"):
        list(translate_files([image, twin], tmp_path / "out", INFO, paint))


def test_a_folder_without_label_maps_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w"):
        pass
    with pytest.raises(UserError, match="holds no label map"):
        list(translate_files([tmp_path], tmp_path / "out", INFO, paint))


def test_a_failure_midway_leaves_whole_photos_only(tmp_path):
    paths = [stored(tmp_path / f"{name}.png", "grey") for name in "ab"]
    calls = []

    def fails_second(labels):
        calls.append(labels.shape)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return paint(labels)

    with pytest.raises(RuntimeError):
        list(translate_files(paths, tmp_path / "out", INFO, fails_second))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert calls == [(1, 5, 7)] * 2


def negative(photos):
    """Stands for a network: photos uint8 [N, H, W, 3] -> their negatives."""
    assert photos.ndim == 4 and photos.dtype == np.uint8
    return 255 - photos


def upright():
    """A photo of 12 x 20 pixels that no turn or mirroring leaves as it is, smooth enough for JPEG."""
    return (np.linspace(0, 120, 12)[:, None, None] + np.linspace(0, 90, 20)[:, None] + [0, 20, 40]).astype(np.uint8)


def test_photos_of_every_kind_are_translated_at_their_own_size(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    photo = Image.fromarray(upright())
    turned = Image.Exif()
    turned[0x0112] = 6  # shown turned clockwise by a quarter
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned é.JPG", quality=100, subsampling=0, exif=turned)
    photo.save(folder / "same.webp", lossless=True)
    photo.convert("L").save(folder / "grey.png")
    clear = np.dstack([upright(), np.zeros((12, 20), np.uint8)])
    Image.fromarray(clear).save(folder / "clear.png")
    (folder / "notes.txt").write_text("no photo")
    (folder / "._same.webp").write_text("of macOS")
    list(translate_files([folder], tmp_path / "out", PHOTO_INFO, negative))
    made = {path.name: Image.open(path) for path in (tmp_path / "out").iterdir()}
    assert set(made) == {"turned é.png", "same.png", "grey.png", "clear.png"}
    assert all(image.mode == "RGB" and image.size == (20, 12) for image in made.values())
    assert np.array_equal(made["same.png"], 255 - upright())
    assert np.abs(np.asarray(made["turned é.png"], int) - (255 - upright())).max() <= 3
    assert np.array_equal(np.asarray(made["grey.png"])[..., 0], 255 - np.asarray(photo.convert("L")))
    assert np.asarray(made["clear.png"]).max() == 0  # transparency is laid on white


def test_every_bad_photo_is_listed_and_nothing_is_written(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(upright()).save(folder / "good.jpg")
    whole = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpeg").write_text("no image")
    Image.fromarray(upright()[..., 0].astype(np.float32)).save(folder / "float.tif")
    announce(stored(folder / "bomb.png", "grey"), 2**15, 2**15)
    words = {"cut.jpg": "truncated", "text.jpeg": "not an image", "float.tif": "floating-point", "bomb.png": "enormous"}
    with pytest.raises(UserError) as caught:
        list(translate_files([folder], tmp_path / "out", PHOTO_INFO, negative))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("4 bad input(s)") and len(lines) == 5
    for name, said in words.items():
        assert any(name in line and said in line for line in lines), name
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"holds no photo \(\.jpg"):
        list(translate_files([tmp_path], tmp_path / "out", PHOTO_INFO, negative))


EDGED = replace(INFO, edges=True)
IDS = np.arange(35).reshape(5, 7) % 7 // 3 + 24000  # other regions than the classes'


def marked(inputs):
    """Stands for a network: label maps with edges uint8 [N, H, W, 2] -> the palette's colours, edges white."""
    return np.where(inputs[..., 1:] > 0, np.uint8(255), paint(inputs[..., 0]))


def folders(tmp_path, **maps):
    """Folders of label maps and of instance maps, by name."""
    for folder in ("in", "ids"):
        (tmp_path / folder).mkdir()
    for name, ids in maps.items():
        stored(tmp_path / "in" / f"{name}.png", "rgb")
        if ids is not None:
            Image.fromarray(ids).save(tmp_path / "ids" / f"{name}.png")
    return tmp_path / "in", tmp_path / "ids"


def test_label_maps_are_translated_with_the_edges_of_their_instance_maps(tmp_path):
    inputs, ids = folders(tmp_path, a=IDS.astype(np.uint16), b=(IDS - 24000).astype(np.uint8))
    written = list(translate_files([inputs], tmp_path / "out", EDGED, marked, ids))
    expected = np.where(instance_edges(IDS)[..., None] > 0, np.uint8(255), paint(LABELS))
    assert 0 < instance_edges(IDS).sum() < 35 and len(written) == 2
    assert all(np.array_equal(np.asarray(Image.open(path)), expected) for path in written)


def test_cityscapes_files_keep_their_names(tmp_path):
    stored(label := tmp_path / "ulm_0_gtFine_labelIds.png", "grey")
    Image.fromarray(IDS.astype(np.uint16)).save(tmp_path / "ulm_0_gtFine_instanceIds.png")
    (written,) = translate_files([label], tmp_path / "out", EDGED, marked, tmp_path)
    expected = np.where(instance_edges(IDS)[..., None] > 0, np.uint8(255), paint(LABELS))
    assert np.array_equal(np.asarray(Image.open(written)), expected)


def test_instance_maps_that_are_wrong_or_missing_are_listed_and_nothing_is_written(tmp_path):
    inputs, ids = folders(tmp_path, good=IDS.astype(np.uint8), gone=None, small=np.zeros((5, 6), np.uint8),
                          twice=IDS.astype(np.uint8), colour=paint(LABELS))  # fmt: skip
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(ids / "twice.bmp")
    with pytest.raises(UserError) as caught:
        list(translate_files([inputs], tmp_path / "out", EDGED, marked, ids))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("4 bad input(s)") and len(lines) == 5
    for words in (
        f"in/gone.png: one instance map called gone is expected in {ids}, found none",
        "ids/small.png: is 6 x 5 pixels and its label map 7 x 5",
        "found twice.bmp and twice.png",
        "ids/colour.png: instance map of mode RGB",
    ):
        assert any(words in line for line in lines), words
    assert not (tmp_path / "out").exists()


def test_instance_maps_are_given_to_those_who_look_at_them(tmp_path):
    inputs, ids = folders(tmp_path, a=IDS.astype(np.uint8))
    for info, given, words in (
        (EDGED, None, "networks of toy see where instances end: give --instances DIR"),
        (EDGED, tmp_path / "nowhere", "nowhere: no such folder"),
        (INFO, ids, "networks of toy do not look at instances; leave it out"),
        (PHOTO_INFO, ids, "networks of horses do not look at instances"),
    ):
        with pytest.raises(UserError, match=words):
            list(translate_files([inputs], tmp_path / "out", info, marked, given))
