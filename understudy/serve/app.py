"""The server's addresses. Errors are JSON, {"error": reason}: 4xx of the client, 503 of a server with enough to do."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version as release
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from understudy.adapters.registry import METRIC_TAG
from understudy.report.pictures import data_uri
from understudy.serve.answers import MEDIA, accepted, encode, to_npy
from understudy.serve.batches import Times
from understudy.serve.champion import Champion, Served
from understudy.serve.comparison import shown, timed, titles
from understudy.serve.limits import Limits, Refused
from understudy.serve.network import Network
from understudy.serve.numbers import CONTENT_TYPE, OTHER, Numbers
from understudy.serve.page import page
from understudy.serve.uploads import JSON_TYPES, Inputs, read_image, read_tensors

LOG = logging.getLogger("understudy.serve")
CODERS = 4  # threads that decode and encode images
RETRY_SECONDS = "1"
NPY = "application/x-npy"
VERSION = "X-Model-Version"
# Nothing but images and this page's own script and style may ever come of an answer.
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


@dataclass
class Server:
    """What all addresses share. poll_seconds: between two looks at the registry, or None."""

    champion: Champion
    limits: Limits
    numbers: Numbers
    poll_seconds: float | None
    busy: int = 0

    def __post_init__(self) -> None:
        self.coders = ThreadPoolExecutor(CODERS, thread_name_prefix="code")
        self.comparing = asyncio.Lock()  # timings side by side would be of each other

    async def code(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run what takes a while elsewhere, so that others are heard meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.coders, partial(call, *arguments))

    @contextmanager
    def admitted(self) -> Iterator[Served]:
        """One of the requests that are worked on. Raises Refused when there are enough of them."""
        if self.busy >= self.limits.requests:
            raise Refused(503, f"{self.busy} requests are being worked on; come again in a moment")
        self.busy += 1
        self.numbers.busy.set(self.busy)
        try:
            with self.champion.lease() as served:
                yield served
        finally:
            self.busy -= 1
            self.numbers.busy.set(self.busy)

    async def body(self, request: Request) -> bytes:
        """Raises Refused when it is too large or too slow."""
        most = self.limits.bytes
        too_large = Refused(413, f"the body is larger than {most:,} bytes")
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > most:
            raise too_large
        content = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for part in request.stream():
                    content += part
                    if len(content) > most:
                        raise too_large
        except TimeoutError:
            raise Refused(408, f"the body did not arrive in {self.limits.seconds:g} seconds") from None
        except ClientDisconnect:
            raise Refused(400, "the body was cut off") from None
        return bytes(content)


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
    _add_numbers(app, numbers)
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
        served = champion.served
        text = server.numbers.text(served.found.model, served.found.version, served.network.runtime, champion.takeovers)
        return Response(text, media_type=CONTENT_TYPE)

    @app.get("/")
    async def front(request: Request) -> HTMLResponse:
        """The page: input, teacher and student side by side."""
        text, policy = await server.code(page, champion.served, server.limits, str(request.base_url).rstrip("/"))
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.post("/compare")
    async def compare(request: Request, sample: str | None = None) -> dict[str, Any]:
        """For the page: an upload, or a built-in sample by its name, through teacher and student, with their times."""
        with server.admitted() as served:
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
                return await server.code(_compared, served, inputs, photo)


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


def _add_numbers(app: FastAPI, numbers: Numbers) -> None:
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


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _spent(decode: float, times: Times, encode: float) -> str:
    """The header Server-Timing, in milliseconds."""
    parts = {"decode": decode, "queue": times.queue, "translate": times.translate, "encode": encode}
    return ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in parts.items())


def _compared(served: Served, inputs: Inputs, photo: Inputs | None) -> dict[str, Any]:
    network, beside = served.network, served.comparison
    labels = network.info.kind == "labels"
    real = data_uri(photo) if photo is not None else None
    return {
        "version": served.name,
        "size": f"{inputs.shape[1]} x {inputs.shape[0]}",
        "titles": titles(network),
        "input": data_uri(shown(inputs, network), exact=labels),
        "real": real,
        "teacher": _pass(beside.teacher, inputs) if beside.teacher else {"absent": beside.absent},
        "student": _pass(network, inputs),
    }


def _pass(network: Network, inputs: Inputs) -> dict[str, Any]:
    photo, milliseconds, passes = timed(network, inputs)
    return {"photo": data_uri(photo), "ms": milliseconds, "passes": passes, "by": network.by}


def described(server: Server) -> dict[str, Any]:
    """The content of /version."""
    champion, served = server.champion, server.champion.served
    network, info, tags = served.network, served.network.info, served.found.tags
    return {
        "understudy": release("understudy"),
        "address": champion.source.address,
        "model": served.found.model,
        "version": served.found.version,
        "serving_since": served.since.isoformat(),
        "runtime": {"name": network.runtime, "by": network.by, "threads": network.threads, "note": network.note},
        "data": {"name": info.name, "kind": info.kind, "trained_at": list(info.size), "classes": list(info.classes),
                 "instances": info.edges},
        "sha256": served.digests,
        "metrics": served.metrics,
        "tags": {k: v for k, v in tags.items() if not k.startswith(METRIC_TAG)},
        "teacher": served.comparison.absent or "shown on the page",
        "registry": {
            "every_seconds": server.poll_seconds,
            "last_looked": champion.looked.at.isoformat(),
            "problem": champion.looked.problem or None,
            "takeovers": champion.takeovers,
        },
        "limits": asdict(server.limits),
    }  # fmt: skip
