"""What goes out: photos as PNG or JPEG, as the client accepts them."""

import io
from typing import Literal

import numpy as np
from PIL import Image

from understudy.serve.limits import Refused
from understudy.serve.uploads import Inputs

Format = Literal["PNG", "JPEG"]
MEDIA: dict[Format, str] = {"PNG": "image/png", "JPEG": "image/jpeg"}  # the first is given to those who take both
PNG_EFFORT = 1  # of zlib's 9: a quarter of the time of the usual 6, for files a tenth larger
JPEG_QUALITY = 95


def accepted(header: str) -> Format:
    """The format that an Accept header asks for, PNG where it has no preference. Raises Refused when it takes none."""
    quality = {name: _quality(header, media) for name, media in MEDIA.items()}
    best = max(quality, key=lambda name: quality[name])  # of equal ones the first
    if not quality[best]:
        raise Refused(406, f"photos are given as {' or '.join(MEDIA.values())}, and Accept names neither")
    return best


def _quality(header: str, media: str) -> float:
    """How much a header wants a type, 0 to 1: by its own name, else by `image/*`, else by `*/*`."""
    found = {}
    for entry in header.split(",") if header.strip() else ["*/*"]:
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        given = [value.removeprefix("q=") for value in parameters if value.startswith("q=")]
        try:
            found[name] = min(1.0, max(0.0, float(given[0]))) if given else 1.0
        except ValueError:
            found[name] = 0.0
    return next((found[name] for name in (media, "image/*", "*/*") if name in found), 0.0)


def encode(photo: Inputs, form: Format) -> bytes:
    """uint8 [H, W, 3] -> the bytes of a file."""
    stream = io.BytesIO()
    options = {"compress_level": PNG_EFFORT} if form == "PNG" else {"quality": JPEG_QUALITY, "subsampling": 0}
    Image.fromarray(photo).save(stream, form, **options)
    return stream.getvalue()


def to_npy(photos: Inputs) -> bytes:
    """uint8 [N, H, W, 3] -> the bytes of an .npy file."""
    stream = io.BytesIO()
    np.save(stream, photos, allow_pickle=False)
    return stream.getvalue()
