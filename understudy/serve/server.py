"""What all addresses of the server share: who is let in, bodies in time, and threads for what takes a while."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from understudy.serve.champion import Champion, Served
from understudy.serve.limits import Limits, Refused
from understudy.serve.numbers import Numbers

CODERS = 4  # threads that decode and encode images
COMPARISONS = 8  # for the page, going on or waiting: each takes up to a second or so, one after the other


@dataclass
class Server:
    """poll_seconds: between two looks at the registry, or None."""

    champion: Champion
    limits: Limits
    numbers: Numbers
    poll_seconds: float | None
    busy: int = 0
    comparisons: int = 0  # beside those that are busy: a page that many look at takes no room from /translate

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

    @contextmanager
    def comparison(self) -> Iterator[Served]:
        """One of the comparisons that are made or wait. Raises Refused when there are enough of them."""
        if self.comparisons >= COMPARISONS:
            raise Refused(503, f"{self.comparisons} comparisons are being made; come again in a moment")
        self.comparisons += 1
        try:
            with self.champion.lease() as served:
                yield served
        finally:
            self.comparisons -= 1

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
