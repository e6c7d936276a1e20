"""Looking at the report in a browser: what is on the screen, and what should be there."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from understudy.report.relation import STEPS, relation_matrix, side_for

DESKTOP, PHONE = (1280, 900), (390, 844)
HEAT, PAPER, COLD = (176, 62, 34), (244, 241, 234), (38, 92, 150)  # of the heat maps: +1, 0, -1

everywhere = pytest.mark.parametrize(
    ("size", "scheme"), [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]
)


def width_of(page):
    """What the page takes: more than the window is wide, and it scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth")


def pixels(png):
    """A PNG file as uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def from_uri(uri):
    return pixels(base64.b64decode(uri.partition(",")[2]))


def natural(page, selector):
    """The pixels of an <img>, uint8 [H, W, 3], whatever their size on the screen."""
    return from_uri(page.get_attribute(selector, "src"))


def shown(page, selector):
    """What an element looks like, taken at the centres of as many cells as its picture has pixels."""
    image = pixels(page.locator(selector).screenshot())
    height, width = natural(page, "#viewer-left").shape[:2]
    rows = ((np.arange(height) + 0.5) * image.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * image.shape[1] / width).astype(int)
    return image[rows][:, columns].astype(int)


def compare_by_slider(page):
    """Move the open viewer's slider: it begins and ends in the middle, half of each picture on the screen.

    At its ends the screen shows the left picture, or the right one.
    """
    left, right = natural(page, "#viewer-left").astype(int), natural(page, "#viewer-right").astype(int)
    assert page.locator(".stage").bounding_box()["width"] >= 2 * left.shape[1]
    half = left.shape[1] // 2

    def halves():
        both = shown(page, ".stage")
        return np.abs(both - left)[:, : half - 1].max() <= 2 and np.abs(both - right)[:, half + 1 :].max() <= 2

    assert page.input_value("#viewer-slider") == "50" and halves()
    page.focus("#viewer-slider")
    page.keyboard.press("End")
    assert np.abs(shown(page, ".stage") - left)[:, :-1].max() <= 2, "enlarged without smoothing"
    page.keyboard.press("Home")
    assert np.abs(shown(page, ".stage") - right)[:, 1:].max() <= 2
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    assert page.input_value("#viewer-slider") == "50" and halves()


def heat(page, model):
    """A heat map's own pixels, int [rows, columns, 3]."""
    return from_uri(page.eval_on_selector(f"#relation-{model}", "canvas => canvas.toDataURL()")).astype(int)


def expected_heat(samples, image, line, column, centred=True):
    """Both heat maps of a pixel by the relation itself, and how far rounding may take each colour."""
    size = samples.features["teacher"].shape[2:]
    side = side_for(size)
    grid = (size[0] // side, size[1] // side)
    cell = line * grid[1] + column
    rows = {
        name: relation_matrix(samples.features[name][image], centred, side)[cell] for name in ("teacher", "student")
    }
    largest = max(row.abs().max().item() for row in rows.values())
    maps = {}
    for name, row in rows.items():
        value = (row / largest).view(*grid, 1)
        ends = torch.where(value < 0, torch.tensor(COLD, dtype=value.dtype), torch.tensor(HEAT, dtype=value.dtype))
        paper = torch.tensor(PAPER, dtype=value.dtype)
        maps[name] = (paper + (ends - paper) * value.abs()).numpy()
    return maps, 210 * 0.5 / STEPS + 1.5  # half a step of the widest channel, twice rounded


def check_heat(page, samples, image, line, column, centred=True):
    """Both heat maps are those of this pixel, as Python computes them. Returns them."""
    maps, tolerance = expected_heat(samples, image, line, column, centred)
    found = {name: heat(page, name) for name in maps}
    for name, wanted in maps.items():
        assert found[name].shape == wanted.shape
        assert np.abs(found[name] - wanted).max() <= tolerance, (name, image, line, column)
    return list(found.values())


def click_cell(page, selector, grid, line, column):
    """Click the middle of a cell of a picture that has `grid` (rows, columns) of them."""
    box = page.locator(selector).bounding_box()
    place = {"x": box["width"] * (column + 0.5) / grid[1], "y": box["height"] * (line + 0.5) / grid[0]}
    page.click(selector, position=place)
