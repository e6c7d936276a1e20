"""What is told of a step that is too large, and of one that the kernel killed: keys, numbers, prices."""

import mmap
import multiprocessing
from pathlib import Path

import pytest
import torch

from understudy import memory, processes
from understudy.errors import OUT_OF_MEMORY
from understudy.files import read_json
from understudy.train import expected_memory
from understudy.train.load import Load, too_much

CPU = torch.device("cpu")
MEBI = 2**20


def told(load: Load, most: int) -> str:
    """Of an allocator that has room for so many images at once."""

    def attempt(images: int, at_once: int) -> None:
        assert images == (at_once if load.whole else load.images)
        if at_once > most:
            raise MemoryError

    error = too_much(load, "no bytes", attempt, CPU)
    assert error.code == OUT_OF_MEMORY
    return str(error)


def test_the_largest_that_fits_is_named_with_the_key_of_its_section():
    load = Load("student", 16, 16, whole=False)
    assert told(load, 5) == (
        "out of memory with 16 images at once (no bytes); student.schedule.micro_batch: 4 fits (tried, with 10% to "
        "spare) and computes the same"
    )
    assert "teacher.schedule.micro_batch: 1 fits" in told(Load("teacher", 80, 3, whole=False), 2)


def test_batch_norms_leave_the_batch_itself_to_be_made_smaller():
    said = told(Load("teacher", 12, 12, whole=True), 3)
    assert "teacher.schedule.batch_size: 3 fits" in said and "another training" in said
    assert "did not fit" in told(Load("teacher", 12, 12, whole=True), 1)  # one image has no statistics


@pytest.mark.parametrize(("section", "key"), [("teacher", "teacher.ngf"), ("student", "prune.budget")])
def test_where_not_even_one_fits_other_keys_are_named(section, key):
    said = told(Load(section, 8, 8, whole=False), 0)
    assert "fewer did not fit either" in said and "prepare.size" in said and key in said and "micro_batch" not in said


def test_of_several_processes_the_whole_batch_is_named(monkeypatch):
    monkeypatch.setattr(processes, "size", lambda: 2)
    assert "nothing was tried" in told(Load("teacher", 8, 8, whole=True), 8)
    assert "teacher.schedule.micro_batch: 4 fits" in told(Load("teacher", 8, 8, whole=False), 4)


def _advice(load: Load, room: int, folder: Path) -> str:
    memory.room = lambda: memory.peak() + room * MEBI
    assert memory.forget_peak()

    def attempt(images: int, at_once: int) -> None:
        assert at_once <= images < load.images
        # Not from the heap, where what was let go of before would be taken again unseen.
        with mmap.mmap(-1, (images + 4 * at_once) * MEBI) as pages:
            for page in range(0, len(pages), mmap.PAGESIZE):
                pages[page] = 1

    expected_memory.leave_note(load, attempt, folder)
    return read_json(folder / memory.NOTE)["advice"] if (folder / memory.NOTE).exists() else ""


def advice(load: Load, room: int, folder: Path) -> str:
    """The advice left for a machine with so much memory, of a step that keeps 1 MiB an image and takes 4 for each at
    once. Made in a process of its own: in one that has run for long, other things come and go meanwhile."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_advice, (load, room, folder))


def test_the_estimate_is_of_what_is_kept_and_what_is_at_once():
    estimate = expected_memory.Estimate(one=105, parted=106, two=110, least=1)
    assert estimate(1, 1) == 105 and estimate(2, 2) == 110 and estimate(64, 1) == 168 and estimate(64, 64) == 420


@pytest.mark.slow
def test_a_note_names_what_should_fit(tmp_path):
    """64 images take 320 MiB at once, 192 by halves, 128 by quarters."""
    load = Load("teacher", 64, 64, whole=False)
    assert advice(load, 230, tmp_path).startswith("teacher.schedule.micro_batch: 16 should fit")
    assert advice(load, 10_000, tmp_path).startswith("its steps should have fit")


@pytest.mark.slow
def test_a_batch_of_a_few_images_leaves_no_note(tmp_path):
    assert advice(Load("teacher", 3, 3, whole=False), 100, tmp_path) == ""
