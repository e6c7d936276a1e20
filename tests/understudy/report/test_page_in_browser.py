"""The report in a real Chromium: clicked through at desktop and phone width, light and dark, and printed."""

import re

import numpy as np
import pytest
from finished_run import finished_run
from in_browser import DESKTOP, check_heat, click_cell, compare_by_slider, everywhere, natural, width_of

from understudy.report.compare import Other
from understudy.report.gather import Run
from understudy.report.page import write_page
from understudy.report.samples import draw_samples

pytestmark = pytest.mark.slow

TEXT = ("ink", "faint", "good", "bad", "teacher", "student", "baseline", "real", "accent")  # colours that are read


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    """The page of a finished run, compared with another."""
    before = finished_run(tmp_path_factory.mktemp("before"), output_weight=1.0, seed=1)
    write_page(run, run / "report.html", Other("HEAD~1", "0" * 40, before, {}))
    return run / "report.html"


@pytest.mark.parametrize("width", [1280, 768, 390, 360])
def test_the_page_never_scrolls_sideways(width, opened):
    page = opened((width, 800))
    for _ in ("as it opens", "with everything unfolded"):
        assert width_of(page) <= width
        page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")


@everywhere
def test_every_colour_of_text_can_be_read(size, scheme, opened):
    page = opened(size, scheme)
    colours = page.evaluate(
        """names => names.map(name => {
            const probe = document.body.appendChild(document.createElement("span"));
            probe.style.color = `var(--${name})`;
            const found = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number);
            probe.remove();
            return found;
        })""",
        [*TEXT, "paper", "soft", "raised"],
    )
    *texts, paper, soft, raised = map(luminance, colours)
    for name, text in zip(TEXT, texts, strict=True):
        for background in (paper, soft, raised):
            high, low = max(text, background), min(text, background)
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{name} in {scheme}"
    assert (paper > 0.5) == (scheme == "light")


def luminance(colour):
    """Relative luminance, as the Web Content Accessibility Guidelines define it."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@everywhere
def test_pictures_enlarge_and_compare_by_slider(size, scheme, opened):
    page = opened(size, scheme)
    page.click("#pictures-grid tr:nth-child(2) td:nth-child(4) button")  # the student's
    assert page.is_visible("#viewer") and "test-1" in page.inner_text("#viewer-title")
    assert page.inner_text("#viewer-left-name") == "student"
    assert page.inner_text("#viewer-right-name") == "real photo"
    compare_by_slider(page)
    right = natural(page, "#viewer-right")
    page.select_option("#viewer-right-column", label="teacher")
    assert not np.array_equal(natural(page, "#viewer-right"), right)
    page.click("#viewer-next")
    assert "test-2" in page.inner_text("#viewer-title")
    page.click("#viewer-next")
    assert "test-0" in page.inner_text("#viewer-title"), "after the last comes the first"
    page.keyboard.press("Escape")
    assert not page.is_visible("#viewer")
    page.click("#comparison-grid tr:nth-child(1) td:nth-child(3) button")
    assert page.inner_text("#viewer-left-name") == "student, HEAD~1"
    page.click("#viewer-close")
    assert not page.is_visible("#viewer")


@everywhere
def test_a_clicked_pixel_shows_its_relation_as_python_computes_it(size, scheme, opened, run):
    page, samples = opened(size, scheme), draw_samples(Run(run))
    assert samples.features["teacher"].shape[2:] == (8, 12)

    def check(image, line, column):
        return check_heat(page, samples, image, line, column)

    first = check(0, 4, 6)
    click_cell(page, "#relation-pick", (8, 12), 1, 2)
    clicked = check(0, 1, 2)
    assert all(not np.array_equal(*pair) for pair in zip(first, clicked, strict=True))
    assert "Row 2 of 8, column 3 of 12" in page.inner_text("#relation-status")
    page.focus("#relation-pick")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    check(0, 2, 4)
    for key in ("Home", "PageUp", "ArrowLeft", "ArrowUp"):  # stays inside
        page.keyboard.press(key)
    check(0, 0, 0)
    for key in ("End", "PageDown", "ArrowRight"):
        page.keyboard.press(key)
    check(0, 7, 11)
    page.select_option("#relation-image", label="test-2")
    check(2, 7, 11)
    click_cell(page, "#relation-student", (8, 12), 4, 0)
    check(2, 4, 0)
    before = page.get_attribute("#relation-picture", "src")
    page.select_option("#relation-base", label="teacher")
    assert page.get_attribute("#relation-picture", "src") != before


def test_the_keyboard_reaches_everything_and_its_place_is_seen(opened):
    page = opened()

    def focused():
        return page.evaluate("(document.activeElement.id || document.activeElement.className)")

    page.keyboard.press("Tab")
    assert focused() == "skip" and page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null"), "past the contents"
    page.focus("#pictures-grid .tile")
    for key, place in (("ArrowRight", "01"), ("ArrowDown", "11"), ("ArrowUp", "01"), ("ArrowUp", "01")):
        page.keyboard.press(key)
        tile = page.evaluate("({...document.activeElement.dataset})")
        assert tile["row"] + tile["column"] == place
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert focused() == "viewer-slider"
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(focused())
    assert reached >= {"viewer-close", "viewer-slider", "viewer-left-column", "viewer-right-column",
                       "viewer-previous", "viewer-next"}  # fmt: skip
    assert not {"skip", "tile"} & reached, "what lies under the dialog is out of reach"
    page.keyboard.press("Escape")
    assert focused() == "tile"
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    seen = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert seen >= {"relation-image", "relation-base", "relation-pick", "SUMMARY", "PRE", "DIV"}


def test_a_reader_who_wants_no_motion_gets_none(opened):
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert opened(reduced_motion="reduce").evaluate(behaviour) == "auto"
    assert opened(reduced_motion="no-preference").evaluate(behaviour) == "smooth"


def test_printed_everything_is_open_and_nothing_can_be_pressed(opened):
    page = opened(DESKTOP, "dark")
    page.evaluate(
        """window.addEventListener("beforeprint", () => {
            window.printed = [...document.querySelectorAll("details")].map((details) => details.open);
        })"""
    )
    pdf = page.pdf(format="A4")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12
    assert page.evaluate("window.printed.length > 2 && window.printed.every(Boolean)")
    assert page.locator("details[open]").count() == 0, "folded again"
    page.emulate_media(media="print")
    assert not any(page.is_visible(part) for part in ("nav", ".controls", "#relation-help"))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
