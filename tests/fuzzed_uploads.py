"""Uploads that went wrong: valid ones cut, flipped, spliced and exchanged, and headers that lie."""

import io
import json
import random
import zlib

import numpy as np
from PIL import Image

from benchmarks.load import Request

KINDS = ("image/png", "image/jpeg", "application/json", "application/x-npy", "text/plain", "multipart/form-data", "")
PATHS = ("/translate",) * 6 + ("/tensors", "/tensors", "/compare", "/compare?sample=%ff", "/nowhere")
ACCEPTS = ("", "", "", "", "*/*", "image/jpeg", "text/html", ";;q=,", "image/png;q=nan", "\xff")


def png(image: np.ndarray) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def valid_bodies(classes: int) -> list[bytes]:
    """One of every kind that some address takes, and some that none does."""
    draw = np.random.default_rng(0)
    labels, photo = (draw.integers(0, most, shape, np.uint8)
                     for most, shape in ((classes, (24, 20)), (256, (24, 20, 3))))  # fmt: skip
    bodies = [*3 * [png(labels)], png(photo), npy(labels[None])]
    bodies.append(json.dumps({"inputs": labels[None].tolist()}).encode())
    for form, options in (("jpeg", {}), ("jpeg", {"progressive": True}), ("gif", {}), ("webp", {}), ("tiff", {})):
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, form, **options)
        bodies.append(stream.getvalue())
    return bodies


def fuzzed(count: int, classes: int, seed: int) -> list[Request]:
    """The same seed gives the same requests. None asks for more than a limit of bytes allows."""
    draw = random.Random(seed)
    bodies = valid_bodies(classes)
    requests = []
    for _ in range(count):
        body = _spoilt(draw, draw.choice(bodies), bodies)
        headers = {"Content-Type": draw.choice(KINDS)} | (
            {"Accept": accept} if (accept := draw.choice(ACCEPTS)) else {}
        )
        path = draw.choice(PATHS)
        method = draw.choice(("POST",) * 12 + ("PUT", "GET"))
        requests.append(Request(path, body, headers, method))
    return requests


def _spoilt(draw: random.Random, body: bytes, others: list[bytes]) -> bytes:
    way = draw.randrange(10)
    spot = draw.randrange(len(body))
    if way == 0:
        return body[:spot]
    if way == 1:
        return body[:spot] + draw.choice(others)[spot:]
    if way == 2:
        return body + draw.randbytes(draw.randrange(200))
    if way == 3:
        return draw.randbytes(draw.randrange(400))
    if way in (4, 9):
        return _resized(draw, body)
    if way == 5:
        return body.replace(b"1", draw.choice((b"999999999", b"-1", b"[", b"null", b"1e400")), draw.randrange(1, 4))
    flipped = bytearray(body)
    for _ in range(draw.choice((1, 2, 10, 100))):
        place = draw.randrange(min(len(body), draw.choice((64, 10**6))))  # often in the header
        flipped[place] = draw.randrange(256)
    return _checked(bytes(flipped)) if draw.random() < 0.5 else bytes(flipped)


def _resized(draw: random.Random, body: bytes) -> bytes:
    """A PNG whose header speaks of another size, or mode, with a right checksum."""
    if not body.startswith(b"\x89PNG"):
        return body
    sizes = (0, 1, 25, 3000, 5000, 100_000, 2**31 - 1)
    size = b"".join(draw.choice(sizes).to_bytes(4, "big") for _ in range(2))
    mode = bytes((draw.choice((1, 2, 8, 16)), draw.choice((0, 2, 3, 4, 6, 7))))
    return _checked(body[:16] + size + mode + body[26:])


def _checked(body: bytes) -> bytes:
    """A PNG with the right checksum of its header, so that decoding goes on behind it."""
    if not body.startswith(b"\x89PNG") or len(body) < 33:
        return body
    return body[:29] + zlib.crc32(body[12:29]).to_bytes(4, "big") + body[33:]
