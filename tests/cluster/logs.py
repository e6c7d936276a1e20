"""A container's log: its last lines, and what comes while it runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path


async def follow(file: Path, tail: int | None, done: Callable[[], bool]) -> AsyncIterator[bytes]:
    """What is in the file (of it the last `tail` lines), and what is added, until `done` and all of it is sent."""
    with file.open("rb") as log:
        text = log.read()
        yield text if tail is None else b"".join(text.splitlines(keepends=True)[-tail:] if tail else [])
        while True:
            last = done()  # asked first: what was printed before the end is in the file by now
            text = log.read()
            if text:
                yield text
            if last:
                return
            await asyncio.sleep(0.1)
