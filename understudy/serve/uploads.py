"""What comes in, as arrays: image files and tensors, each looked at before anything large is made of it."""

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from understudy.data.edges import with_edges
from understudy.data.pictures import BadImage, read_instances, read_label, read_photo
from understudy.data.prepared import DatasetInfo
from understudy.data.source import Classes
from understudy.serve.limits import Limits, Refused

Inputs = NDArray[np.uint8]
LABEL_FORMATS = ("PNG",)  # lossless: a JPEG's colours would be close to the palette's, and close is another class
PHOTO_FORMATS = ("PNG", "JPEG")
# A progressive JPEG may go over its pixels as often as it likes, at a few bytes a time. Cameras take up to 10 passes;
# the pictures in a file's own description have some too.
START_OF_SCAN, MOST_SCANS = b"\xff\xda", 64
# What a browser or a service may call a body of JSON.
JSON_TYPES = ("application/json", "text/json")


def read_image(content: bytes, content_type: str, info: DatasetInfo, limits: Limits) -> Inputs:
    """The body of a request -> one input [H, W, ...]: class indices, classes and edges, or a photo, as `info` has it.

    An image file; where `info` has edges, JSON with two of them in base64: {"labels": ..., "instances": ...}.
    Raises Refused.
    """
    if content_type.startswith("multipart/"):
        raise Refused(415, "a form is not taken; send the file itself as the body (curl --data-binary @FILE)")
    if not info.edges:
        if content_type in JSON_TYPES:
            raise Refused(415, "JSON is not taken here; send the image file itself, or arrays to /tensors")
        return _photo(content, limits) if info.kind != "labels" else _label(content, "the body", info, limits)
    if content_type not in JSON_TYPES:
        raise Refused(415, f"networks of {info.name} see where instances end: send JSON, "
                           '{"labels": PNG in base64, "instances": PNG in base64}')  # fmt: skip
    files = _object(content)
    labels = _label(_decoded(files, "labels"), "labels", info, limits)
    ids_file = _decoded(files, "instances")
    _require_modest(ids_file, "instances", LABEL_FORMATS, limits)
    ids = _read(lambda: read_instances(ids_file, LABEL_FORMATS), "instances")
    if ids.shape != labels.shape:
        sizes = (*ids.shape[::-1], *labels.shape[::-1])
        raise Refused(422, "instances: {} x {} pixels, and the label map is {} x {}".format(*sizes))
    return with_edges(labels, ids)


def _photo(content: bytes, limits: Limits) -> Inputs:
    _require_modest(content, "the body", PHOTO_FORMATS, limits)
    return _read(lambda: np.asarray(read_photo(content)[0]), "the body")


def _label(content: bytes, what: str, info: DatasetInfo, limits: Limits) -> Inputs:
    classes = Classes(info.classes, info.palette, info.ignore, info.licence)
    _require_modest(content, what, LABEL_FORMATS, limits)
    return _read(lambda: read_label(content, classes, LABEL_FORMATS)[0], what)


def _read(decode: Any, what: str) -> Any:
    try:
        return decode()
    except BadImage as error:
        raise Refused(422, f"{what}: {error}") from None


def _require_modest(content: bytes, what: str, formats: tuple[str, ...], limits: Limits) -> None:
    """Refuse what is another format or too large, by the header alone."""
    if not content:
        raise Refused(400, f"{what}: empty (0 bytes); an image file is expected")
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            width, height = image.size
    except UnidentifiedImageError:
        raise Refused(415, f"{what}: not a {' or '.join(formats)} file, or its header is damaged") from None
    except Image.DecompressionBombError:
        raise Refused(413, f"{what}: enormous; at most {limits.pixels:,} pixels are taken") from None
    # What Pillow raises on a damaged header differs from format to format.
    except (OSError, SyntaxError, ValueError, IndexError, TypeError, EOFError, OverflowError) as error:
        raise Refused(422, f"{what}: damaged header ({error})") from None
    _require_size((1, height, width), what, limits)
    if content.startswith(b"\xff\xd8") and content.count(START_OF_SCAN) > MOST_SCANS:
        raise Refused(422, f"{what}: a JPEG of more than {MOST_SCANS} scans; save it anew")


def _require_size(shape: tuple[int, ...], what: str, limits: Limits) -> None:
    """shape: [N, H, W, ...], of an array that may not be there yet."""
    count, height, width = shape[:3]
    if count > limits.images:
        raise Refused(413, f"{what}: {count:,} images; at most {limits.images} are taken in one request")
    if max(height, width) > limits.side:
        raise Refused(413, f"{what}: {width:,} x {height:,} pixels; at most {limits.side:,} are taken for a side")
    if count * height * width > limits.pixels:
        raise Refused(413, f"{what}: {count * height * width:,} pixels; at most {limits.pixels:,} are taken")


def _decoded(files: Mapping[str, Any], name: str) -> bytes:
    if not isinstance(text := files.get(name), str):
        raise Refused(422, f"{name}: expected a PNG file in base64 under this key")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # the latter of characters beyond ASCII
        raise Refused(422, f"{name}: not base64") from None


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(400, "not JSON") from None
    if not isinstance(value, dict):
        raise Refused(422, "expected a JSON object")
    return value


def read_tensors(content: bytes, info: DatasetInfo, limits: Limits) -> Inputs:
    """An .npy file, or JSON {"inputs": nested lists} -> uint8 [N, H, W, ...], as `info` has inputs. Raises Refused."""
    if not content:
        raise Refused(400, 'the body is empty; an .npy file or JSON {"inputs": [...]} is expected')
    inputs = _from_npy(content, info, limits) if content.startswith(npy.MAGIC_PREFIX) else _from_json(content, info)
    _require_shape(inputs.shape, info, limits)
    _require_known(inputs, info)
    return inputs


def _from_npy(content: bytes, info: DatasetInfo, limits: Limits) -> Inputs:
    """Its header is believed only as far as the bytes that follow it."""
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, by_column, kind = read(stream)
    except Exception:  # numpy reads it as Python's syntax: what a parser raises has no end
        raise Refused(422, "damaged header of the .npy file") from None
    if kind != np.uint8:
        raise Refused(422, f"expected an array of uint8, found {kind}")
    _require_shape(shape, info, limits)
    values = np.frombuffer(content, np.uint8, offset=stream.tell())
    if values.size != math.prod(shape):
        raise Refused(422, f"the .npy file speaks of {math.prod(shape):,} bytes, and {values.size:,} follow")
    return np.ascontiguousarray(values.reshape(shape, order="F" if by_column else "C"))


def _from_json(content: bytes, info: DatasetInfo) -> Inputs:
    lists = _object(content).get("inputs")
    try:
        values = np.array(lists)
    except (ValueError, OverflowError, RecursionError):
        raise Refused(422, "inputs: lists of one length are expected at each level") from None
    if values.dtype.kind not in "iu":
        raise Refused(422, "inputs: nested lists of whole numbers are expected")
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        raise Refused(422, "inputs: a number is not in 0 to 255")
    return values.astype(np.uint8)


def _require_shape(shape: tuple[int, ...], info: DatasetInfo, limits: Limits) -> None:
    if len(shape) < 3 or shape[3:] != info.planes or 0 in shape:
        expected = ", ".join(("N", "H", "W", *map(str, info.planes)))
        what = "photos" if info.kind != "labels" else "label maps with edges" if info.edges else "label maps"
        raise Refused(422, f"expected {what} of shape [{expected}], found {list(shape)}")
    _require_size(shape, "inputs", limits)


def _require_known(inputs: Inputs, info: DatasetInfo) -> None:
    """Refuse classes that there are not; an exported network would take them for something else."""
    if info.kind != "labels":
        return
    if (largest := int((inputs[..., 0] if info.edges else inputs).max())) >= info.num_classes:
        raise Refused(422, f"class {largest} is unknown: {info.name} has 0 to {info.num_classes - 1}")
    if info.edges and (largest := int(inputs[..., 1].max())) > 1:
        raise Refused(422, f"edges: expected 0 and 1, found {largest}")
