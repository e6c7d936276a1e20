"""What fits is what was tried: attempts that a real allocator refuses."""

import pytest
import torch

from understudy.fitting import largest_fitting

CPU = torch.device("cpu")


def test_the_first_that_fits_is_taken_and_tried_twice():
    tried: list[int] = []

    def attempt(count: int) -> None:
        tried.append(count)
        torch.empty(count << 50, dtype=torch.uint8)  # of one no page is written

    assert largest_fitting([1024, 512, 0], attempt, CPU) == 0
    assert tried == [1024, 512, 0, 0]


def test_nothing_fits_where_everything_is_refused():
    def attempt(_: int) -> None:
        bytearray(2**60)

    assert largest_fitting([4, 2, 1], attempt, CPU) is None
    assert largest_fitting([], attempt, CPU) is None


def test_a_bug_is_not_taken_for_a_want_of_memory():
    def attempt(_: int) -> None:
        raise KeyError("who")

    with pytest.raises(KeyError):
        largest_fitting([1], attempt, CPU)
