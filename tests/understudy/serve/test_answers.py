import io

import numpy as np
import pytest
from PIL import Image

from understudy.serve.answers import accepted, encode
from understudy.serve.limits import Refused


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "PNG"),
        ("*/*", "PNG"),
        ("image/*", "PNG"),
        ("image/jpeg", "JPEG"),
        ("image/jpeg, image/png;q=0.5", "JPEG"),
        ("image/jpeg;q=0.2, */*;q=0.5", "PNG"),
        ("text/html, image/webp, */*;q=0.8", "PNG"),
        ("image/png;q=0, image/*", "JPEG"),
        ("image/JPEG ; q=nonsense, image/png", "PNG"),
    ],
)
def test_the_client_chooses_the_format(header, expected):
    assert accepted(header) == expected


def test_other_formats_are_refused():
    with pytest.raises(Refused, match=r"image/png or image/jpeg") as refused:
        accepted("image/webp, text/html")
    assert refused.value.status == 406


def test_a_png_keeps_every_pixel_and_a_jpeg_nearly():
    photo = np.tile(np.arange(48, dtype=np.uint8)[None, :, None] * 5, (32, 1, 3))
    exact = Image.open(io.BytesIO(encode(photo, "PNG")))
    near = Image.open(io.BytesIO(encode(photo, "JPEG")))
    assert (exact.format, near.format) == ("PNG", "JPEG")
    np.testing.assert_array_equal(np.asarray(exact), photo)
    assert np.abs(np.asarray(near).astype(int) - photo).max() <= 4
