"""Requests that wait together are translated together.

One thread runs the network. While it is busy requests queue, and when it is free it takes all those at the head of the
queue that are of one size, up to a bound: nobody waits for company, and under load batches form by themselves.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from understudy.serve.uploads import Inputs

IMAGES = 16  # of a batch at most
PIXELS = 2**21  # of a batch at most, as the network sees them; an image that is larger goes alone


@dataclass
class _Part:
    """inputs: [n, H, W, ...]. photos: [n, H, W, 3], once they are there. since: when it was put into the queue."""

    inputs: Inputs
    photos: Future[Inputs] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)
    waited: float = 0.0  # seconds in the queue
    took: float = 0.0  # seconds of the batch that it was in


@dataclass(frozen=True)
class Times:
    """Seconds, of the slowest part of a request. queue: until its batch began. translate: of that batch."""

    queue: float
    translate: float


class Batcher:
    """translate: uint8 [N, H, W, ...] -> uint8 [N, H, W, 3], called by one thread. fitting: the side in pixels that the
    network pads a side to. done: told the size of each batch."""

    def __init__(
        self, translate: Callable[[Inputs], Inputs], fitting: Callable[[int], int], done: Callable[[int], None]
    ) -> None:
        self._translate, self._fitting, self._done = translate, fitting, done
        self._queue: deque[_Part] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="translate", daemon=True)
        self._thread.start()

    async def __call__(self, inputs: Inputs) -> tuple[Inputs, Times]:
        """Photos [N, H, W, 3] of inputs [N, H, W, ...]. Raises what the network raises."""
        most = self._most(inputs.shape)
        parts = [_Part(inputs[first : first + most]) for first in range(0, len(inputs), most)]
        with self._changed:
            self._queue.extend(parts)
            self._changed.notify()
        photos = await asyncio.gather(*(asyncio.wrap_future(part.photos) for part in parts))
        times = Times(max(part.waited for part in parts), max(part.took for part in parts))
        return (photos[0] if len(photos) == 1 else np.concatenate(photos)), times

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread, once what is in the queue is done. Nothing may be put into it any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _most(self, shape: tuple[int, ...]) -> int:
        """Images of one batch."""
        padded = self._fitting(shape[1]) * self._fitting(shape[2])
        return max(1, min(IMAGES, PIXELS // padded))

    def _take(self) -> list[_Part]:
        """The part at the head of the queue, and those that fit into its batch. The others keep their order."""
        shape = self._queue[0].inputs.shape
        room, batch, left = self._most(shape), [], deque[_Part]()
        for part in self._queue:
            if part.inputs.shape[1:] == shape[1:] and len(part.inputs) <= room:
                room -= len(part.inputs)
                batch.append(part)
            else:
                left.append(part)
        self._queue = left
        return batch

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                batch = self._take()
            batch = [part for part in batch if part.photos.set_running_or_notify_cancel()]
            if batch:
                self._run(batch)

    def _run(self, batch: list[_Part]) -> None:
        began = time.perf_counter()
        try:
            inputs = [part.inputs for part in batch]
            photos = self._translate(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
        except Exception as error:  # its requests are told; the thread goes on
            for part in batch:
                part.photos.set_exception(error)
            return
        ended = time.perf_counter()
        self._done(len(photos))
        first = 0
        for part in batch:
            part.waited, part.took = began - part.since, ended - began
            part.photos.set_result(photos[first : first + len(part.inputs)])
            first += len(part.inputs)
