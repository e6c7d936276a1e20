"""Reports of the small recipes in full, clicked through in a real Chromium at desktop and phone width.

Each run's report.html is in its root, .understudy/long/RECIPE, with pictures of the whole page under screenshots/.
"""

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from in_browser import DESKTOP, PHONE, check_heat, click_cell, compare_by_slider, everywhere, pixels, width_of
from small_recipes import SMALL, finished

from understudy.data.terms import INPUT_TITLES, PHOTO_TITLES
from understudy.files import read_json
from understudy.report.gather import Run
from understudy.report.samples import draw_samples

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * 3600)]

NAMES = {DESKTOP: "desktop", PHONE: "phone"}
both_sizes = pytest.mark.parametrize("size", NAMES, ids=NAMES.get)


@pytest.fixture(scope="module", params=SMALL)
def shipped(request, repo, browser) -> Path:
    """The root of a finished run of a shipped recipe. (Asks for the browser first: without one these are skipped.)"""
    return finished(repo, request.param)


@pytest.fixture(scope="module")
def report(shipped) -> Path:
    return shipped / "report.html"


@pytest.fixture(scope="module")
def samples(shipped):
    return draw_samples(Run(shipped))


@both_sizes
def test_nothing_is_missing_and_nothing_sticks_out(size, opened, shipped):
    page = opened(size)
    verdict = read_json(shipped / "artifacts/gate/verdict.json")
    assert page.inner_text(".verdict") == ("Passed" if verdict["passed"] else "Failed")
    assert page.locator(".rules > li").count() == len(verdict["rules"])
    assert page.locator(".absent").all_inner_texts() == []
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth || !image.getAttribute('src'))")
    assert width_of(page) <= size[0]


@both_sizes
def test_every_picture_enlarges(size, opened, samples):
    page = opened(size)
    columns, rows = page.locator("#pictures-grid th").all_inner_texts(), page.locator("#pictures-grid tbody tr")
    assert columns == list(samples.pictures) and rows.count() == len(samples.names)
    for row, name in zip(rows.all(), samples.names, strict=True):
        for tile, column in zip(row.locator("button").all(), columns, strict=True):
            tile.click()
            assert page.inner_text("#viewer-title") == f"Test image {name}"
            assert page.inner_text("#viewer-left-name") == column
            assert page.get_attribute("#viewer-left", "src") == tile.locator("img").get_attribute("src")
            assert page.locator("#viewer-left").bounding_box()["width"] > tile.bounding_box()["width"]
            page.keyboard.press("Escape")
            assert not page.is_visible("#viewer")


@both_sizes
def test_two_pictures_compare_by_slider(size, opened, samples):
    page = opened(size)
    page.click("#pictures-grid tr:nth-child(1) button[data-column='3']")
    assert page.inner_text("#viewer-right-name") == PHOTO_TITLES[samples.info.kind]
    compare_by_slider(page)
    box = page.locator("#viewer-slider").bounding_box()
    page.click("#viewer-slider", position={"x": box["width"] / 4, "y": box["height"] / 2})
    assert 20 <= int(page.input_value("#viewer-slider")) <= 30
    divider, stage = (page.locator(part).bounding_box() for part in (".divider", ".stage"))
    assert 0.2 <= (divider["x"] - stage["x"]) / stage["width"] <= 0.3
    for button, name in (("next", samples.names[1]), ("previous", samples.names[0])):
        page.click(f"#viewer-{button}")
        assert page.inner_text("#viewer-title") == f"Test image {name}"
    assert width_of(page) <= size[0]


@both_sizes
def test_the_relation_follows_mouse_and_arrow_keys(size, opened, samples, shipped):
    page = opened(size)
    centred = yaml.safe_load((shipped / "params.yaml").read_text())["distill"]["relation"]["centred"]
    grid = tuple(page.eval_on_selector("#relation-teacher", "canvas => [canvas.height, canvas.width]"))
    line, column, last = grid[0] // 4, grid[1] // 4, page.locator("#relation-image option").count() - 1
    maps = [check_heat(page, samples, 0, grid[0] // 2, grid[1] // 2, centred)]

    def check(image, line, column):
        maps.append(check_heat(page, samples, image, line, column, centred))
        assert all(not np.array_equal(*pair) for pair in zip(*maps[-2:], strict=True)), "the maps have changed"
        assert f"Row {line + 1} of {grid[0]}, column {column + 1} of {grid[1]}." in page.inner_text("#relation-status")
        marker, picture = (page.locator(f"#relation-pick {part}").bounding_box() for part in (".marker", "img"))
        assert marker["x"] == pytest.approx(picture["x"] + picture["width"] * column / grid[1], abs=1)
        assert marker["y"] == pytest.approx(picture["y"] + picture["height"] * line / grid[0], abs=1)

    click_cell(page, "#relation-pick", grid, line, column)
    check(0, line, column)
    page.focus("#relation-pick")
    for key, down, right in (("Down", 1, 0), ("Right", 0, 1), ("Up", -1, 0), ("Left", 0, -1)):
        page.keyboard.press(f"Arrow{key}")
        line, column = line + down, column + right
        check(0, line, column)
    page.select_option("#relation-image", str(last))
    check(last, line, column)
    click_cell(page, "#relation-student", grid, grid[0] - 2, 1)
    check(last, grid[0] - 2, 1)
    before = page.get_attribute("#relation-picture", "src")
    page.select_option("#relation-base", label=INPUT_TITLES[samples.info.kind])
    assert page.get_attribute("#relation-picture", "src") != before


@both_sizes
def test_every_fold_opens_and_closes(size, opened):
    page = opened(size)
    folds = page.locator("details")
    assert folds.count() == 4  # widths, expectations, hashes, parameters
    for fold in folds.all():
        closed = fold.bounding_box()["height"]
        fold.locator("summary").click()
        assert fold.get_attribute("open") is not None and fold.bounding_box()["height"] > 2 * closed
        fold.locator("summary").click()
        assert fold.get_attribute("open") is None and fold.bounding_box()["height"] == closed
        fold.locator("summary").click()
    assert width_of(page) <= size[0], "with everything unfolded"


@both_sizes
def test_every_link_leads_to_its_section(size, opened):
    page = opened(size, reduced_motion="reduce")  # a smooth scroll takes a second to end
    assert page.evaluate("[...document.links].every((link) => link.getAttribute('href').startsWith('#'))")
    links, headings = page.locator("nav a").all(), page.locator("section > h2").all_inner_texts()
    assert [link.inner_text() for link in links] == headings
    for link in links:
        link.click()
        section = urlsplit(page.url).fragment
        assert page.inner_text(f"#{section} > h2") == link.inner_text()
        top, bottom = page.evaluate(
            """id => [document.getElementById(id).getBoundingClientRect().top,
                      document.documentElement.getBoundingClientRect().bottom]""",
            section,
        )
        # At the top, or as high as the end of the page lets it.
        assert abs(top) <= 1 or (bottom <= size[1] + 1 and 0 < top < size[1]), section


@everywhere
def test_the_whole_page_is_kept_as_a_picture(size, scheme, opened, shipped):
    page = opened(size, scheme)
    path = shipped / f"screenshots/{NAMES[size]}-{scheme}.png"
    image = pixels(page.screenshot(full_page=True, path=path))
    assert image.shape[:2] == (page.evaluate("document.documentElement.scrollHeight"), size[0])
    assert (np.median(image) > 128) == (scheme == "light")
