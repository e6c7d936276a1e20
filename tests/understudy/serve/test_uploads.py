import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from understudy.data.edges import with_edges
from understudy.data.prepared import DatasetInfo
from understudy.serve.limits import Limits, Refused
from understudy.serve.uploads import read_image, read_tensors

PALETTE = ((0, 0, 255), (90, 90, 90), (255, 0, 0))
LABELS = np.array([[0, 1, 2, 2], [0, 0, 1, 2]], np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
LIMITS = Limits(bytes=10_000, pixels=600, side=100, images=3)


def info(kind: str = "labels", edges: bool = False) -> DatasetInfo:
    labels = kind == "labels"
    names = ("sky", "road", "car") if labels else ()
    return DatasetInfo("toys", kind, (16, 16), names, PALETTE if labels else (), None, "CC0", {}, edges=edges)


def file_of(image: np.ndarray | Image.Image, form: str = "png", **options) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """An .npy file of that shape, without its content."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def in_base64(**files: bytes) -> bytes:
    return json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}).encode()


def refusal(read, content, *more) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        read(content, *more, LIMITS)
    return refused.value.status, str(refused.value)


def test_label_maps_are_indices_or_colours():
    colours = np.array(PALETTE, np.uint8)[LABELS]
    drawn = Image.fromarray(LABELS, "P")
    drawn.putpalette(np.array(PALETTE, np.uint8).tobytes())
    for picture in (LABELS, colours, drawn):
        np.testing.assert_array_equal(read_image(file_of(picture), "image/png", info(), LIMITS), LABELS)


def test_photos_are_png_or_jpeg_and_upright():
    photos = info("photos")
    np.testing.assert_array_equal(read_image(file_of(PHOTO), "", photos, LIMITS), PHOTO)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    upright = read_image(file_of(PHOTO, "jpeg", exif=turned), "image/jpeg", photos, LIMITS)
    assert upright.shape == (5, 6, 3)


def test_instances_become_edges():
    ids = np.array([[1, 1, 2, 3], [1, 1, 1, 3]], np.uint16)
    body = in_base64(labels=file_of(LABELS), instances=file_of(ids))
    found = read_image(body, "application/json", info(edges=True), LIMITS)
    np.testing.assert_array_equal(found, with_edges(LABELS, ids))


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"", "labels", 400, "empty"),
        (b"hello", "labels", 415, "not a PNG file"),
        (file_of(PHOTO, "jpeg"), "labels", 415, "not a PNG file"),
        (file_of(PHOTO, "gif"), "photos", 415, "not a PNG or JPEG file"),
        (file_of(PHOTO), "labels", 422, "not in the palette"),
        (file_of(np.full((4, 4), 7, np.uint8)), "labels", 422, "label value 7 out of range: classes are 0 to 2"),
        (file_of(PHOTO)[:-40], "photos", 422, "corrupt or truncated"),
        (file_of(np.zeros((30, 30), np.uint8)), "labels", 413, "900 pixels; at most 600"),
        (file_of(np.zeros((1, 101), np.uint8)), "labels", 413, "101 x 1 pixels; at most 100 are taken for a side"),
        (file_of(PHOTO, "jpeg") + b"\xff\xda\x00" * 100, "photos", 422, "a JPEG of more than 64 scans"),
    ],
    ids=["empty", "text", "jpeg labels", "gif", "colours", "class", "cut", "pixels", "side", "scans"],
)  # fmt: skip
def test_a_bad_image_is_refused_with_a_reason(content, kind, status, reason):
    found, said = refusal(read_image, content, "", info(kind))
    assert found == status and reason in said


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    bomb = file_of(Image.new("1", (20_000, 20_000)))  # 50 kB of file, 400 megapixels
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("it was decoded"))
    status, said = refusal(read_image, bomb, "image/png", info("photos"))
    assert status == 413 and "enormous" in said


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (file_of(LABELS), "image/png", 415, "see where instances end: send JSON"),
        (b"{", "application/json", 400, "not JSON"),
        (b"[" * 100_000, "application/json", 400, "not JSON"),
        (b"[]", "application/json", 422, "expected a JSON object"),
        (in_base64(labels=file_of(LABELS)), "application/json", 422, "instances: expected a PNG file in base64"),
        (b'{"labels": "\\u00e9"}', "application/json", 422, "labels: not base64"),
        (in_base64(labels=file_of(LABELS), instances=file_of(LABELS[:1])), "application/json", 422,
         "instances: 4 x 1 pixels, and the label map is 4 x 2"),
    ],
    ids=["file", "json", "deep", "list", "missing", "base64", "sizes"],
)  # fmt: skip
def test_bad_pairs_are_refused_with_a_reason(content, content_type, status, reason):
    found, said = refusal(read_image, content, content_type, info(edges=True))
    assert found == status and reason in said


def test_forms_and_json_are_sent_where_they_belong():
    assert refusal(read_image, b"--x", "multipart/form-data", info())[0] == 415
    status, said = refusal(read_image, b"{}", "application/json", info())
    assert status == 415 and "/tensors" in said


@pytest.mark.parametrize("edges", [False, True])
def test_tensors_come_as_npy_or_json(edges):
    inputs = np.random.default_rng(1).integers(0, [3, 2] if edges else 3, (2, 5, 4, *([2] * edges)), np.uint8)
    for content in (npy(inputs), npy(np.asfortranarray(inputs)), json.dumps({"inputs": inputs.tolist()}).encode()):
        found = read_tensors(content, info(edges=edges), LIMITS)
        np.testing.assert_array_equal(found, inputs)
        assert found.dtype == np.uint8 and found.flags.c_contiguous


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "empty"),
        (b"nothing", 400, "not JSON"),
        (header((2, 5, 4))[:20], 422, "damaged header"),
        (header((2, 5, 4)).replace(b"(2,", b"([,"), 422, "damaged header"),
        (header((3, 10, 20)), 422, "speaks of 600 bytes, and 0 follow"),
        (header((10**6, 10**6, 10**6)), 413, "1,000,000 images; at most 3"),
        (header((1, 10, 10), "|O"), 422, "expected an array of uint8"),
        (npy(np.zeros((1, 4, 4))), 422, "expected an array of uint8, found float64"),
        (npy(np.zeros((4, 4), np.uint8)), 422, "expected label maps of shape [N, H, W], found [4, 4]"),
        (npy(np.zeros((0, 4, 4), np.uint8)), 422, "found [0, 4, 4]"),
        (npy(np.zeros((4, 4, 4), np.uint8)), 413, "4 images; at most 3"),
        (npy(np.zeros((3, 20, 20), np.uint8)), 413, "1,200 pixels; at most 600"),
        (npy(np.full((1, 4, 4), 3, np.uint8)), 422, "class 3 is unknown: toys has 0 to 2"),
        (b'{"inputs": [[[0, 1], [2]]]}', 422, "lists of one length"),
        (b'{"inputs": [[[0.5]]]}', 422, "whole numbers"),
        (b'{"inputs": [[[256]]]}', 422, "not in 0 to 255"),
        (b'{"inputs": [[[-1]]]}', 422, "not in 0 to 255"),
        (b'{"inputs": [[["a"]]]}', 422, "whole numbers"),
        (b'{"inputs": [[[99999999999999999999999]]]}', 422, "whole numbers"),
        (b'{"photos": []}', 422, "whole numbers"),
    ],
)  # fmt: skip
def test_bad_tensors_are_refused_with_a_reason(content, status, reason):
    found, said = refusal(read_tensors, content, info())
    assert found == status and reason in said


def test_edges_are_none_or_one():
    assert "edges: expected 0 and 1, found 2" in refusal(
        read_tensors, npy(np.full((1, 4, 4, 2), 2, np.uint8)), info(edges=True)
    )[1]  # fmt: skip
