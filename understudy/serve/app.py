"""The server's addresses. Errors are JSON, {"error": reason}: 4xx of the client, 503 of a server with enough to do."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as release
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from understudy.serve.answers import MEDIA, accepted, encode, to_npy
from understudy.serve.batches import Times
from understudy.serve.champion import Champion
from understudy.serve.counted import add_numbers
from understudy.serve.limits import Limits, Refused
from understudy.serve.numbers import CONTENT_TYPE, Numbers
from understudy.serve.page import page
from understudy.serve.server import Server
from understudy.serve.told import compared, described
from understudy.serve.uploads import JSON_TYPES, read_image, read_tensors

RETRY_SECONDS = "1"
NPY = "application/x-npy"
VERSION = "X-Model-Version"


def make_app(champion: Champion, limits: Limits, poll_seconds: float | None) -> FastAPI:
    """champion: started. poll_seconds: see Server."""
    numbers = Numbers()
    champion.batched = numbers.batches.observe
    server = Server(champion, limits, numbers, poll_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if poll_seconds:
            champion.follow(poll_seconds)
        yield
        champion.stop()
        server.coders.shutdown()

    app = FastAPI(title="Understudy", version=release("understudy"), docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_addresses(app, server)
    _add_errors(app)
    add_numbers(app, numbers)
    return app


def _add_addresses(app: FastAPI, server: Server) -> None:
    champion = server.champion

    @app.post("/translate")
    async def translate(request: Request) -> Response:
        """One image file in, its photo out: PNG, or JPEG where Accept asks for it."""
        form = accepted(request.headers.get("accept", ""))
        with server.admitted() as served:
            content, began = await server.body(request), time.perf_counter()
            inputs = await server.code(read_image, content, _content_type(request), served.network.info, server.limits)
            decoded = time.perf_counter()
            photos, times = await served.batcher(inputs[None])
            ready = time.perf_counter()
            photo = await server.code(encode, photos[0], form)
            spent = _spent(decoded - began, times, time.perf_counter() - ready)
        return Response(photo, media_type=MEDIA[form], headers={"Server-Timing": spent, VERSION: served.found.version})

    @app.post("/tensors")
    async def tensors(request: Request) -> Response:
        """Arrays in, arrays out: .npy for .npy, and for JSON {"inputs": ...} JSON {"predictions": ...}."""
        with server.admitted() as served:
            content = await server.body(request)
            inputs = await server.code(read_tensors, content, served.network.info, server.limits)
            photos, times = await served.batcher(inputs)
            headers = {"Server-Timing": _spent(0.0, times, 0.0), VERSION: served.found.version}
            if content.startswith(b"\x93NUMPY"):
                return Response(await server.code(to_npy, photos), media_type=NPY, headers=headers)
            answer = await server.code(lambda: json.dumps({"predictions": photos.tolist()}).encode())
            return Response(answer, media_type=JSON_TYPES[0], headers=headers)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """200 as long as the process answers and its translating thread lives."""
        if not champion.served.batcher.alive:
            raise HTTPException(500, "the thread that translates has ended")
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """200 while another request would be taken."""
        if server.busy >= server.limits.requests:
            raise Refused(503, f"{server.busy} requests are being worked on")
        return {"status": "ready", "version": champion.served.found.version}

    @app.get("/version")
    async def version() -> dict[str, Any]:
        """What is served, by what, since when, and what the registry last said."""
        return described(server)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters and times for Prometheus."""
        served, problem = champion.served, champion.looked.problem
        text = server.numbers.text(
            served.found.model, served.found.version, served.network.runtime, champion.takeovers, problem
        )
        return Response(text, media_type=CONTENT_TYPE)

    @app.get("/")
    async def front(request: Request) -> HTMLResponse:
        """The page: input, teacher and student side by side."""
        text, policy = await server.code(page, champion.served, server.limits, str(request.base_url).rstrip("/"))
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.post("/compare")
    async def compare(request: Request, sample: str | None = None) -> dict[str, Any]:
        """For the page: an upload, or a built-in sample by its name, through teacher and student, with their times."""
        with server.comparison() as served:
            if sample is None:
                content = await server.body(request)
                network, kind = served.network, _content_type(request)
                inputs, photo = await server.code(read_image, content, kind, network.info, server.limits), None
            elif sample in served.comparison.samples:
                known = served.comparison.samples[sample]
                inputs, photo = known.inputs, known.photo
            else:
                raise Refused(
                    404, f"there is no sample {sample!r}; another version may have taken over: reload the page"
                )
            async with server.comparing:
                return await server.code(compared, served, inputs, photo)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        headers = {"Retry-After": RETRY_SECONDS} if error.status == 503 else {}
        return JSONResponse({"error": str(error)}, error.status, headers)

    @app.exception_handler(HTTPException)
    async def missed(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:  # a bug: its traceback is in the log
        return JSONResponse({"error": "the server failed; its log says more"}, 500)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _spent(decode: float, times: Times, encode: float) -> str:
    """The header Server-Timing, in milliseconds."""
    parts = {"decode": decode, "queue": times.queue, "translate": times.translate, "encode": encode}
    return ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in parts.items())
