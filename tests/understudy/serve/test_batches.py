import asyncio
import threading

import numpy as np
import pytest

from understudy.serve.batches import IMAGES, PIXELS, Batcher


class Recorder:
    """A network that gives back each input's first value, and notes its batches. The first waits for `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        self.begun.set()
        assert self.go.wait(30)
        self.shapes.append(inputs.shape)
        if inputs.max() == 255:
            raise ArithmeticError("255")
        return np.repeat(inputs[..., None], 3, axis=-1)


def image(value: int, count: int = 1, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full((count, *size), value, np.uint8)


def run(requests: list[np.ndarray], fitting=lambda side: side) -> tuple[Recorder, list]:
    """Hold the network with a first request, queue the others behind it, and let go. Their answers or errors."""
    network, sizes = Recorder(), []

    async def all_at_once():
        batcher = Batcher(network, fitting, sizes.append)
        first = asyncio.create_task(batcher(image(0)))
        await asyncio.to_thread(network.begun.wait, 30)
        others = [asyncio.create_task(batcher(inputs)) for inputs in requests]
        await asyncio.sleep(0.05)  # until all are in the queue
        network.go.set()
        await first
        found = await asyncio.gather(*others, return_exceptions=True)
        assert batcher.alive
        batcher.close()
        batcher._thread.join(30)
        assert not batcher.alive
        return found

    answers = asyncio.run(all_at_once())
    assert sum(sizes) == sum(shape[0] for shape in network.shapes) or any(isinstance(a, Exception) for a in answers)
    return network, answers


def test_requests_of_one_size_that_wait_are_translated_together_and_told_apart():
    requests = [image(1), image(2, size=(8, 6)), image(3, count=2), image(4)]
    network, answers = run(requests)
    assert network.shapes == [(1, 4, 6), (4, 4, 6), (1, 8, 6)]
    for inputs, (photos, times) in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(photos, np.repeat(inputs[..., None], 3, axis=-1))
        assert times.queue > 0 and times.translate >= 0


def test_a_batch_is_bounded_in_images_and_in_pixels_as_padded():
    network, answers = run([image(1, count=2 * IMAGES + 3)])
    assert [shape[0] for shape in network.shapes[1:]] == [IMAGES, IMAGES, 3]
    assert answers[0][0].shape == (2 * IMAGES + 3, 4, 6, 3)
    side = int((PIXELS / 2) ** 0.5)  # two such images make a batch
    network, _ = run([image(1, count=5)], fitting=lambda _: side)
    assert [shape[0] for shape in network.shapes[1:]] == [2, 2, 1]
    network, _ = run([image(1, count=2)], fitting=lambda _: 4 * side)  # larger than a batch may be: one by one
    assert [shape[0] for shape in network.shapes[1:]] == [1, 1]


def test_what_fails_fails_its_own_batch_alone():
    network, answers = run([image(255), image(7, size=(5, 5))])
    assert isinstance(answers[0], ArithmeticError)
    assert (answers[1][0] == 7).all() and len(network.shapes) == 3


def test_closing_ends_after_what_is_queued():
    network = Recorder()

    async def closed_early():
        batcher = Batcher(network, lambda side: side, lambda count: None)
        waiting = [asyncio.create_task(batcher(image(1))) for _ in range(3)]
        await asyncio.to_thread(network.begun.wait, 30)
        batcher.close()
        network.go.set()
        return await asyncio.gather(*waiting)

    assert len(asyncio.run(closed_early())) == 3


def test_the_queue_of_one_size_does_not_starve_another():
    network, _ = run([image(1, size=(8, 8)), *(image(2) for _ in range(3 * IMAGES))])
    assert network.shapes[1] == (1, 8, 8)


@pytest.mark.parametrize("count", [1, 3])
def test_one_request_alone_is_not_kept_waiting(count):
    network = Recorder()
    network.go.set()

    async def alone():
        batcher = Batcher(network, lambda side: side, lambda count: None)
        photos, _ = await asyncio.wait_for(batcher(image(9, count=count)), 30)
        return photos

    assert asyncio.run(alone()).shape == (count, 4, 6, 3)
