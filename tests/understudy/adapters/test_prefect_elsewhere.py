"""How long a flow waits for runs that others do, on a clock of the test's own."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import AwaitingConcurrencySlot, Completed, Late, Pending, Running, State

from understudy.adapters import prefect_elsewhere as elsewhere

RUN, HOUR = uuid4(), 3600.0


class Clock:
    """Tells the run's states, each for so many hours; every look is half an hour after the one before."""

    def __init__(self, *states: tuple[float, State]) -> None:
        self.now, self.states, self.cancelled = 0.0, states, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        self.now += HOUR / 2

    def state_of(self, _: object) -> State:
        begun = 0.0
        for hours, state in self.states:
            begun += hours * HOUR
            if self.now < begun:
                return state
        return Completed()


@pytest.fixture
def waited(monkeypatch):
    """`waited(states)`: how the run is told to have ended, and the clock."""

    def wait(*states: tuple[float, State]) -> tuple[State, Clock]:
        clock = Clock(*states)
        monkeypatch.setattr(elsewhere, "time", clock)
        monkeypatch.setattr(elsewhere, "state_of", clock.state_of)
        monkeypatch.setattr(elsewhere, "_cancel", lambda runs: clock.cancelled.extend(runs))
        return elsewhere.ends({RUN: states[0][1]}, SimpleNamespace(no_more=lambda: False))[RUN], clock

    return wait


class Client:
    """Knows one run."""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_flow_run(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(name="teacher of runs/x", work_pool_name="understudy-gpu")


def test_a_run_whose_pod_no_node_takes_is_given_up_and_says_where_to_look(waited, monkeypatch):
    monkeypatch.setattr(elsewhere, "get_client", lambda **_: Client())
    ended, clock = waited((1000, Pending()))
    assert (ended.type.value, ended.name) == ("FAILED", "Failed")
    assert "teacher of runs/x has not begun within 12 hours of its turn in the pool understudy-gpu" in ended.message
    assert "kubectl describe pod" in ended.message
    assert clock.cancelled == [RUN] and 12 * HOUR < clock.now < 14 * HOUR


@pytest.mark.parametrize("waiting", [AwaitingConcurrencySlot(), Late()], ids=["others have the slot", "no worker"])
def test_a_run_that_waits_for_its_turn_may_wait_for_days(waited, waiting):
    ended, clock = waited((100, waiting), (11, Pending()), (100, Running()))
    assert ended.is_completed() and not clock.cancelled


def test_a_run_that_was_put_off_has_its_time_anew(waited):
    """Evicted, it is Scheduled again, then Pending once more."""
    ended, clock = waited((11, Pending()), (1, Running()), (1, AwaitingConcurrencySlot()), (11, Pending()))
    assert ended.is_completed() and not clock.cancelled
