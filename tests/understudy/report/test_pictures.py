import base64
import io

import numpy as np
import pytest
from PIL import Image

from understudy.report.pictures import LARGEST, LOSSLESS, data_uri, note


def read(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_small_pictures_keep_every_pixel():
    photo = np.random.default_rng(0).integers(0, 256, (64, LOSSLESS, 3), np.uint8)
    assert data_uri(photo).startswith("data:image/png;base64,") and np.array_equal(read(data_uri(photo)), photo)
    assert note(photo.shape[:2]) == ""


@pytest.mark.parametrize("shape", [(256, 256), (1024, 2048)])
def test_large_pictures_are_bounded_and_the_page_says_so(shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert max(read(data_uri(photo)).shape) == min(LARGEST, max(shape))
    assert len(data_uri(photo)) < photo.size and "compressed" in note(shape)


def test_a_label_map_never_gets_colours_of_its_own():
    labels = np.zeros((600, 600, 3), np.uint8)
    labels[:, 301:] = 255
    assert set(np.unique(read(data_uri(labels, exact=True)))) == {0, 255}
