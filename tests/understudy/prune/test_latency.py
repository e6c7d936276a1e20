"""The search for a budget of milliseconds, by a clock that is drawn: noise, drift, bursts and teeth, all known."""

import math

import numpy as np
import pytest
from generic_scores import generic_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.arch.inception import inception
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.prune.latency import LEAST, MOST_TIMINGS, select
from understudy.prune.selection import strongest
from understudy.prune.threshold import THRESHOLD
from understudy.prune.uniform import UNIFORM

SMALL = inception(24, 6, 6, "batch", "zero", "rgb", 3, (32, 32))
FAMILIES = {
    "inception": inception(64, 9, 6, "batch", "reflect", "rgb", 3, (256, 256)),
    "unet": unet(64, 8, "batch", "rgb", 3, (256, 256)),
    "spade": spade(64, 6, "onehot", 36, (256, 512)),
}


class Clock:
    """A machine whose latencies are known.

    true_ms: of a network when nothing else runs: a fixed part, one for the MACs, and `teeth`, a share that comes and
    goes with the MACs. noise: standard deviation of a round's share of it. bursts: probability that a round of a
    network, not of the teacher, takes three times as long. drift: by how much everything slows down, and back.
    """

    def __init__(self, teacher, noise=0.0, bursts=0.0, drift=0.0, teeth=0.0, seed=0):
        self.teacher, self.noise, self.bursts, self.drift, self.teeth = teacher, noise, bursts, drift, teeth
        self.random = np.random.default_rng(seed)
        self.asked = []

    def true_ms(self, arch):
        macs = cost(arch).macs_true
        share = macs / cost(self.teacher).macs_true
        return (5 + 95 * share) * (1 + self.teeth * math.sin(40 * math.log(share)))

    def __call__(self, arch):
        self.asked.append(arch)
        slow = 1 + self.drift * abs(math.sin(len(self.asked)))
        rounds = []
        for _ in range(9):
            own, teacher = np.exp(self.random.normal(0, self.noise, 2)) * slow
            burst = 3 if self.random.random() < self.bursts else 1
            rounds.append((self.true_ms(arch) * own * burst, self.true_ms(self.teacher) * teacher))
        return rounds


def search(teacher, budget_ms, clock, method=THRESHOLD, min_width=4, seed=0):
    scores = generic_scores(teacher, seed)
    chosen, measured = select(method.ladder(teacher, scores, min_width), scores, budget_ms, clock, "all at least")
    return chosen, measured, scores


@pytest.mark.parametrize("method", [THRESHOLD, UNIFORM], ids=["threshold", "uniform"])
@pytest.mark.parametrize("teacher", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("share", [0.5, 0.25, 0.125])
def test_every_family_lands_within_a_tenth_of_the_budget_after_few_timings(teacher, method, share):
    clock = Clock(teacher)
    try:
        chosen, measured, scores = search(teacher, 100 * share, clock, method)
    except UserError as error:
        # The stem of spade comes in units of 16 channels: only a step of the latency itself excuses.
        assert "no network takes between" in str(error)
        ladder = method.ladder(teacher, generic_scores(teacher), 4)
        every = [clock.true_ms(ladder.arch(level)) for level in range(len(ladder.levels))]
        assert not any(LEAST * share * 100 <= latency <= share * 100 for latency in every)
        return
    assert LEAST * 100 * share <= clock.true_ms(chosen.arch) <= 100 * share
    assert measured.student_ms == pytest.approx(clock.true_ms(chosen.arch))
    assert measured.teacher_ms == 100 and measured.budget_ms == 100 * share
    assert measured.timings == len(clock.asked) <= 12
    assert clock.asked[-1] == chosen.arch and clock.asked.count(chosen.arch) > 1  # looked at, and then confirmed
    assert chosen.cost == cost(chosen.arch) and chosen.evaluations == len(set(map(repr, clock.asked)))
    widths = chosen.arch.widths()
    assert chosen.kept == {name: strongest(values, widths.get(name, 0)) for name, values in scores.items()}


@settings(max_examples=30, deadline=None)
@given(
    st.floats(12, 90),
    st.floats(0, 0.08),
    st.floats(0, 0.2),
    st.floats(0, 1),
    st.floats(0, 0.1),
    st.integers(0, 2**32 - 1),
)
def test_on_a_noisy_machine_it_lands_where_it_says_or_says_why_not(budget_ms, noise, bursts, drift, teeth, seed):
    """What slows network and teacher alike cancels out; the choice's own latency is the budget's, noise aside."""
    clock = Clock(SMALL, noise, bursts, drift, teeth, seed)
    try:
        chosen, measured, _ = search(SMALL, budget_ms, clock)
    except UserError as error:
        assert str(error).startswith("prune.budget.latency_ms: ") and len(clock.asked) <= MOST_TIMINGS
        # A machine that grows slower may take even the floor out of reach.
        out_of_reach = clock.true_ms(THRESHOLD.floor(SMALL, 4)) * (1 + drift) > budget_ms
        assert noise > 0.02 or bursts > 0.05 or teeth > 0.02 or out_of_reach, error
        return
    assert LEAST * budget_ms <= measured.student_ms <= budget_ms
    share = clock.true_ms(chosen.arch) / clock.true_ms(SMALL)
    tolerance = 0.01 + 2 * noise + bursts
    assert share * measured.teacher_ms == pytest.approx(measured.student_ms, rel=tolerance)
    assert 100 * (1 - tolerance) <= measured.teacher_ms <= 100 * (1 + drift + tolerance)


def test_a_bad_timing_misleads_only_until_the_next():
    class Hiccup(Clock):
        def __call__(self, arch):
            rounds = super().__call__(arch)
            return [(3 * own, teacher) for own, teacher in rounds] if len(self.asked) == 3 else rounds

    clock = Hiccup(SMALL)
    chosen, measured, _ = search(SMALL, 30, clock)
    assert LEAST * 30 <= clock.true_ms(chosen.arch) <= 30
    assert measured.student_ms == pytest.approx(clock.true_ms(chosen.arch))


def test_a_step_is_walked_round():
    """Where widths that suit the machine leave no network at the crossing itself, one further off is found."""

    class Step(Clock):
        def true_ms(self, arch):
            plain = super().true_ms(arch)
            return plain * (0.8 if 27.2 < plain < 30 else 1)

    clock = Step(SMALL)
    chosen, *_ = search(SMALL, 29, clock)
    assert LEAST * 29 <= clock.true_ms(chosen.arch) <= 29


@pytest.mark.parametrize(
    ("budget_ms", "message"),
    [
        (100, r"100 ms is no less than what the teacher takes, 100 ms; lower the budget, down to the 6\.96 ms of"),
        (5, r"5 ms cannot be reached: with all at least, a network of 6\.96 ms is left \(the teacher takes 100 ms\)"),
    ],
)
def test_what_no_network_of_the_ladder_takes_is_refused_with_both_ends(budget_ms, message):
    with pytest.raises(UserError, match=rf"^prune\.budget\.latency_ms: {message}"):
        search(SMALL, budget_ms, Clock(SMALL))


def test_a_teacher_that_turns_out_faster_than_the_budget_is_told():
    class Settling(Clock):
        def __call__(self, arch):
            slow = 3 if not self.asked else 1
            return [(slow * own, slow * teacher) for own, teacher in super().__call__(arch)]

    with pytest.raises(UserError, match="120 ms is no less than what the teacher takes"):
        search(SMALL, 120, Settling(SMALL))


def test_a_gap_is_told_with_its_edges():
    class Gap(Clock):
        def true_ms(self, arch):
            plain = super().true_ms(arch)
            return plain if plain > 40 else 0.5 * plain

    nearest = r"the nearest take (19|20)[.\d]* and 4[0-2][.\d]* ms; set it to 2[01]"
    with pytest.raises(UserError, match=rf"no network takes between 27 and 30 ms \(.* networks\): {nearest}"):
        search(SMALL, 30, Gap(SMALL))


def test_a_machine_without_a_latency_is_told():
    class Dice(Clock):
        def __call__(self, arch):
            factor = 1.0 if self.asked.count(arch) % 2 == 0 else 1.5
            return [(factor * own, teacher) for own, teacher in super().__call__(arch)]

    with pytest.raises(UserError, match=r"30 timings of \d+ networks gave none .* latencies vary too much"):
        search(SMALL, 30, Dice(SMALL))
