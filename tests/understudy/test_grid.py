import numpy as np
import pytest
from PIL import Image

from understudy.grid import GAP, grid


def plain(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def test_cells_hold_the_images_enlarged_without_smoothing(tmp_path):
    checks = np.indices((64, 48)).sum(0) % 2 * 255  # [H, W]
    image = np.repeat(checks[..., None].astype(np.uint8), 3, axis=2)  # [H, W] -> [H, W, 3]
    grid([[image, plain(64, 48, (10, 20, 30))]] * 2, ["label map", "photo"], tmp_path / "g.png")

    sheet = np.asarray(Image.open(tmp_path / "g.png").convert("RGB"))
    assert sheet.shape[1] == GAP + 2 * (96 + GAP)  # 48 px twice enlarged
    last = sheet[-GAP - 128 : -GAP, GAP : GAP + 96]
    assert np.array_equal(last[::2, ::2], image) and np.array_equal(last[1::2, 1::2], image)
    assert (sheet[-GAP - 128 : -GAP, -GAP - 96 : -GAP] == (10, 20, 30)).all()


def test_titles_are_drawn_and_wrapped_to_their_column(tmp_path):
    cell = plain(96, 96, 0)
    grid([[cell]], ["student"], tmp_path / "short.png")
    grid([[cell]], ["student of a tenth of the cost"], tmp_path / "long.png")
    short, long = (np.asarray(Image.open(tmp_path / name)) for name in ("short.png", "long.png"))
    assert long.shape[0] > short.shape[0] and long.shape[1] == short.shape[1]
    assert (short[: -GAP - 96] < 128).any()  # ink


def test_large_images_are_not_enlarged(tmp_path):
    grid([[plain(128, 256, 7)]], ["x"], tmp_path / "g.png")
    assert Image.open(tmp_path / "g.png").width == 256 + 2 * GAP


@pytest.mark.parametrize(
    ("rows", "titles", "message"),
    [
        ([], ["a"], "at least one row"),
        ([[plain(8, 8, 0)]], ["a", "b"], "1 images for 2 titles"),
        ([[plain(8, 8, 0), plain(8, 9, 0)]], ["a", "b"], "found uint8"),
        ([[plain(8, 8, 0).astype(float)]], ["a"], "float64"),
        ([[np.zeros((8, 8), np.uint8)]], ["a"], r"\(8, 8\)"),
    ],
)
def test_wrong_images_are_refused(rows, titles, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        grid(rows, titles, tmp_path / "g.png")
    assert not list(tmp_path.iterdir())
