"""The workers, or Prefect's server, are away while a training goes on."""

import pytest
from tiny_project import STEPS, wait

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_workers_that_are_away_meanwhile_change_nothing(disturbed):
    run = disturbed.begin("without workers")
    branch, _ = disturbed.training(run)
    disturbed.stack.rest()
    wait(lambda: len(disturbed.project.steps(branch)) == STEPS, "the training's end")
    disturbed.stack.work()
    assert disturbed.ended_well(run) == branch
    assert disturbed.project.steps(branch) == list(range(1, STEPS + 1))


def test_a_server_that_is_away_meanwhile_stops_nothing(disturbed):
    run = disturbed.begin("without a server")
    branch, _ = disturbed.training(run)
    disturbed.server.kill()
    wait(lambda: len(disturbed.project.steps(branch)) >= 4, "training without a server")
    disturbed.server.be_up()
    assert disturbed.ended_well(run) == branch
    assert disturbed.project.steps(branch) == list(range(1, STEPS + 1))
