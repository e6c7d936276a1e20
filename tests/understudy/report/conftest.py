"""A real Chromium, and in it the page of the module's own `report`."""

import pytest
from chromium import browser as browser
from in_browser import DESKTOP


@pytest.fixture
def opened(browser, report):
    """`opened(size, scheme)`: the page in a window of its own; at the end no message and no request may be left."""
    complaints, contexts = [], []

    def watch_request(request):
        if not request.url.startswith("data:") and request.url != report.as_uri():
            complaints.append(f"request {request.url}")

    def open_page(size=DESKTOP, scheme="light", **more):
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", watch_request)
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
