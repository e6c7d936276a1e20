"""S3 refuses a third of the requests of a run's pods, is down for a while, and does not know their keys."""

import itertools
import time

import pytest
import yaml
from s3_servers import KEYS
from workers import children

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
DOWN = 20.0  # seconds


def test_every_third_request_is_refused(disturbed):
    numbers, refused = itertools.count(), []

    def third(line: str) -> bool:
        if next(numbers) % 3 == 2:
            refused.append(line)
            return True
        return False

    disturbed.stack.s3.refuse = third
    try:
        disturbed.ended_well(disturbed.begin("slow down"))
    finally:
        disturbed.stack.s3.refuse = lambda line: False
    assert len(refused) >= 5


def test_it_is_down_while_a_stage_wants_to_put_its_data_there(disturbed):
    run = disturbed.begin("down")
    until = []

    def down(line: str) -> bool:
        """From the first object of the training on."""
        if line.startswith("PUT ") and not until and disturbed.project.steps(disturbed.branch(run)):
            until.append(time.monotonic() + DOWN)
        return bool(until) and time.monotonic() < until[0]

    disturbed.stack.s3.refuse = down
    try:
        disturbed.ended_well(run)
    finally:
        disturbed.stack.s3.refuse = lambda line: False
    assert until


def test_wrong_keys_are_one_clear_error(disturbed):
    stack = disturbed.stack

    def apply(secret: str) -> None:
        said = stack.kubernetes.kubectl("apply", "-f", "-", given=yaml.safe_dump(stack.keys(secret)))
        assert said.returncode == 0, said.stderr

    apply("wrong")
    try:
        before = disturbed.project.branches()
        run = disturbed.begin("wrong keys")
        state = disturbed.ended(run)
    finally:
        apply(KEYS[1])
    assert (state.type.value, state.name) == ("FAILED", "BadInput"), state
    assert "DVC's remote s3://" in state.message and "\n" not in state.message
    assert not children(disturbed.server, run) and disturbed.project.branches() == before
