"""The serving page in a real Chromium: samples, uploads, drops and what goes wrong, at desktop and phone width."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from finished_run import CLASSES, PALETTE
from PIL import Image

from understudy.serve.app import make_app
from understudy.serve.champion import Champion
from understudy.serve.limits import Limits
from understudy.serve.sources import source
from understudy.translator import Translator

pytestmark = pytest.mark.slow
WINDOWS = {"desktop": (1280, 900), "phone": (390, 844), "small phone": (360, 640)}
LABELS = np.random.default_rng(5).integers(0, len(CLASSES), (20, 36), np.uint8)


@pytest.fixture(scope="module")
def address(run):
    """Of a server in a thread of this process, over the run's student."""
    champion = Champion(source(run, "student"), run, None, 1)
    champion.start()
    server = uvicorn.Server(uvicorn.Config(make_app(champion, Limits(), None), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()
    champion.served.batcher.close()


@pytest.fixture
def opened(browser, address):
    """`opened(window, scheme)`: the page with its first sample shown; no message and no foreign request may be left."""
    complaints, contexts = [], []

    def complain(text):
        if "Failed to load resource" not in text:  # Chromium's own note of a refused upload, which is part of a test
            complaints.append(text)

    def open_page(window="desktop", scheme="light"):
        width, height = WINDOWS[window]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda message: complain(message.text))
        page.on("request", lambda request: None if request.url.startswith((address, "data:"))
                else complaints.append(f"request {request.url}"))  # fmt: skip
        page.goto(address)
        settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def settled(page):
    page.wait_for_selector("#result[aria-busy=false] .shown:not([hidden])", state="attached")


def natural(page, name):
    """The pixels of a shown picture, uint8 [H, W, 3]."""
    found = page.eval_on_selector(f"#{name} img", """image => {
        const canvas = document.createElement("canvas");
        const [width, height] = [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        canvas.getContext("2d").drawImage(image, 0, 0);
        return [height, width, ...canvas.getContext("2d").getImageData(0, 0, width, height).data];
    }""")  # fmt: skip
    return np.array(found[2:], np.uint8).reshape(found[0], found[1], 4)[..., :3]


def own(run: Path, name: str):
    folder = run / "artifacts"
    return Translator.load(folder / name / "arch.json", folder / name / "weights.safetensors",
                           folder / "prepare/dataset.json")  # fmt: skip


def png(image: np.ndarray) -> dict:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return {"name": "own.png", "mimeType": "image/png", "buffer": stream.getvalue()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", WINDOWS)
def test_input_teacher_student_and_real_photo_stand_side_by_side(window, scheme, opened):
    page = opened(window, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= WINDOWS[window][0], "never sideways"
    assert page.get_attribute(".sample >> nth=0", "aria-pressed") == "true"
    assert page.locator(".shown figure:visible").count() == 4
    for name in ("teacher", "student"):
        assert page.inner_text(f"#{name} figcaption span").endswith(" ms")
    assert "times as long" in page.inner_text("#status") and "passes" in page.inner_text("#status")
    boxes = [page.locator(f"#{name} img").bounding_box() for name in ("input", "teacher", "student", "real")]
    assert all(box["width"] > 120 for box in boxes) and boxes[0]["y"] == boxes[1]["y"]


def test_another_sample_shows_other_pictures_and_they_are_the_networks_own(opened, run):
    page = opened()
    first = natural(page, "student")
    page.click("[data-sample=test-2]")
    page.wait_for_selector("[data-sample=test-2][aria-pressed=true]")
    settled(page)
    assert not np.array_equal(natural(page, "student"), first)
    colours = natural(page, "input")
    labels = (colours[:, :, None] == np.array(PALETTE, np.uint8)).all(axis=-1).argmax(axis=-1).astype(np.uint8)
    for name, folder in {"teacher": "teacher", "student": "distill"}.items():
        np.testing.assert_array_equal(natural(page, name), own(run, folder)(labels[None])[0])


def test_an_upload_is_translated_at_its_own_size_and_has_no_real_photo(opened, run):
    page = opened()
    page.set_input_files("#upload", png(LABELS))
    page.wait_for_selector("#real", state="hidden")
    settled(page)
    assert page.inner_text("#input figcaption span") == "36 x 20"
    np.testing.assert_array_equal(natural(page, "student"), own(run, "distill")(LABELS[None])[0])
    assert page.locator(".sample[aria-pressed=true]").count() == 0


def test_a_dropped_file_is_taken_and_one_beside_the_field_is_not_opened(opened, address):
    page = opened()
    drop = """([name, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        return data;
    }"""
    data = page.evaluate_handle(drop, ["own.png", list(png(LABELS)["buffer"])])
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    page.wait_for_selector("#real", state="hidden")
    settled(page)
    assert page.inner_text("#input figcaption span") == "36 x 20"
    page.dispatch_event("footer", "drop", {"dataTransfer": data})
    assert page.url == address


def test_a_bad_upload_is_told_why_and_the_next_good_one_is_shown(opened):
    page = opened("phone")
    page.set_input_files("#upload", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#problem:visible")
    assert "Not translated: the body: not a PNG file" in page.inner_text("#problem")
    assert page.is_hidden(".shown")
    page.set_input_files("#upload", png(np.full((8, 8), 77, np.uint8)))
    page.wait_for_selector("#problem:has-text('label value 77')")
    page.click("[data-sample=test-1]")
    settled(page)
    assert page.is_hidden("#problem")


def test_a_server_that_has_gone_is_told(opened):
    page = opened()
    page.route("**/compare*", lambda route: route.fulfill(status=502, body="<html>bad gateway"))
    page.click("[data-sample=test-1]")
    page.wait_for_selector("#problem:visible")
    assert page.inner_text("#problem") == "The server does not answer."


def test_everything_is_reached_by_the_keyboard(opened):
    page = opened()
    page.focus("[data-sample=test-0]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-sample=test-1][aria-pressed=true]")
    settled(page)
    page.focus("[data-sample=test-2]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "upload"
