"""Every answer, counted and timed, with the headers that all have."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI

from understudy.serve.numbers import OTHER, Numbers

# Nothing but images and this page's own script and style may ever come of an answer.
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def add_numbers(app: FastAPI, numbers: Numbers) -> None:
    """Called once all addresses are there: what is asked beside them counts as one."""
    paths = {getattr(route, "path", "") for route in app.routes}

    class Counted:
        """Counts every answer, and gives it the headers that all have."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
            if scope["type"] != "http":
                await self.app(scope, receive, send)
                return
            began, status = time.perf_counter(), 500

            async def sent(message: Any) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                    message = {**message, "headers": [*message["headers"], *own]}
                await send(message)

            path = scope["path"] if scope["path"] in paths else OTHER
            try:
                await self.app(scope, receive, sent)
            finally:
                numbers.requests.labels(path, status).inc()
                numbers.seconds.labels(path).observe(time.perf_counter() - began)

    app.add_middleware(Counted)
