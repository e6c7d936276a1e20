import numpy as np
import pytest
import torch
from PIL import Image

from understudy.grid import GAP, SHOWN, cells, spread, write_grid


def plain(height, width, colour):
    """One image, uint8 [1, 3, H, W]."""
    colours = torch.tensor(colour, dtype=torch.uint8).expand(3)
    return colours[None, :, None, None].repeat(1, 1, height, width)


def test_cells_hold_the_images_enlarged_without_smoothing(tmp_path):
    checks = np.indices((64, 48)).sum(0) % 2 * 255  # [H, W]
    image = np.repeat(checks[..., None].astype(np.uint8), 3, axis=2)  # [H, W] -> [H, W, 3]
    label = torch.from_numpy(image).permute(2, 0, 1).expand(2, -1, -1, -1)  # [H, W, 3] -> [2, 3, H, W]
    write_grid({"label map": label, "photo": plain(64, 48, (10, 20, 30)).expand(2, -1, -1, -1)}, tmp_path / "g.png")

    sheet = np.asarray(Image.open(tmp_path / "g.png").convert("RGB"))
    assert sheet.shape[1] == GAP + 2 * (96 + GAP)  # 48 px twice enlarged
    last = sheet[-GAP - 128 : -GAP, GAP : GAP + 96]
    assert np.array_equal(last[::2, ::2], image) and np.array_equal(last[1::2, 1::2], image)
    assert (sheet[-GAP - 128 : -GAP, -GAP - 96 : -GAP] == (10, 20, 30)).all()


def test_titles_are_drawn_and_wrapped_to_their_column(tmp_path):
    write_grid({"student": plain(96, 96, 0)}, tmp_path / "short.png")
    write_grid({"student of a tenth of the cost": plain(96, 96, 0)}, tmp_path / "long.png")
    short, long = (np.asarray(Image.open(tmp_path / name)) for name in ("short.png", "long.png"))
    assert long.shape[0] > short.shape[0] and long.shape[1] == short.shape[1]
    assert (short[: -GAP - 96] < 128).any()  # ink


def test_large_images_are_not_enlarged(tmp_path):
    write_grid({"x": plain(128, 256, 7)}, tmp_path / "g.png")
    assert Image.open(tmp_path / "g.png").width == 256 + 2 * GAP


def test_rows_are_images_and_columns_are_kinds():
    numbers = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    rows = cells({"a": numbers, "b": 255 - numbers})
    assert [len(row) for row in rows] == [2, 2]
    assert np.array_equal(rows[1][0][3, 4], numbers[1, :, 3, 4].numpy())
    assert np.array_equal(rows[1][1], 255 - rows[1][0])


def test_shown_images_are_spread_over_the_split():
    assert spread(3).tolist() == [0, 1, 2]
    shown = spread(1000).tolist()
    assert len(shown) == SHOWN and shown[0] == 0 and shown[-1] == 999 and shown == sorted(set(shown))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "at least one column"),
        ({"a": plain(8, 8, 0)[:0]}, "one row"),
        ({"a": plain(8, 8, 0), "b": plain(8, 8, 0).repeat(2, 1, 1, 1)}, "column 'b': expected"),
        ({"a": plain(8, 8, 0), "b": plain(8, 9, 0)}, "column 'b': expected"),
        ({"a": plain(8, 8, 0).float()}, "float32"),
        ({"a": plain(8, 8, 0)[:, :1]}, r"\(1, 1, 8, 8\)"),
    ],
)
def test_wrong_images_are_refused(columns, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_grid(columns, tmp_path / "g.png")
    assert not list(tmp_path.iterdir())
