"""Paired tests against scipy's, Holm's correction against the textbook's steps, power against simulation."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.bakeoff.paired import difference, holm
from benchmarks.bakeoff.power import detectable, pooled

FIRST = {1: 0.51, 2: 0.49, 3: 0.53, 4: 0.50, 5: 0.52}
SECOND = {1: 0.50, 2: 0.47, 3: 0.50, 4: 0.50, 5: 0.49}


def test_a_paired_test_is_scipy_s():
    found = difference(FIRST, SECOND)
    expected = stats.ttest_rel(list(FIRST.values()), list(SECOND.values()))
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(0.018)
    assert found.values == pytest.approx((0.01, 0.02, 0.03, 0.0, 0.03))


def test_only_seeds_that_both_have_are_compared():
    found = difference(FIRST, {seed: SECOND[seed] for seed in (5, 2)} | {9: 0.1})
    assert found.values == pytest.approx((0.02, 0.03))
    assert difference(FIRST, {1: 0.5}) is None and difference({}, SECOND) is None


def test_without_any_spread_p_is_certain():
    assert difference({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}).p == 1
    assert difference({1: 0.75, 2: 0.75}, {1: 0.5, 2: 0.5}).p == 0


def test_holm_by_hand():
    """Four tests: 4 x 0.01, 3 x 0.02, then 2 x 0.03 and 1 x 0.04, neither smaller than the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03] and holm([]) == []


def test_holm_rejects_what_its_steps_reject():
    """Compare each p in order with 0.05 / (m - rank), and stop at the first that is larger."""
    drawn = np.random.default_rng(0).uniform(0, 0.06, (200, 6))
    for ps in drawn:
        order, rejected = np.argsort(ps), set()
        for rank, index in enumerate(order):
            if ps[index] > 0.05 / (len(ps) - rank):
                break
            rejected.add(int(index))
        assert {index for index, p in enumerate(holm(list(ps))) if p <= 0.05} == rejected


def test_a_detectable_difference_is_found_in_four_of_five():
    spread, seeds = 2.0, 6
    shift = detectable(spread, seeds)
    drawn = np.random.default_rng(1).normal(shift, spread, (20_000, seeds))
    found = stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_more_seeds_find_less_and_more_tests_need_more():
    assert detectable(1.0, 20) < detectable(1.0, 10) < detectable(1.0, 5) < detectable(1.0, 5, tests=12)
    assert detectable(2.0, 5) == pytest.approx(2 * detectable(1.0, 5))


def test_spreads_are_pooled_by_their_degrees_of_freedom():
    """Variances 2 (one degree of freedom) and 1 (two): (2 + 2) / 3."""
    assert pooled([[0.0, 2.0], [1.0, 2.0, 3.0], [7.0]]) == pytest.approx((4 / 3) ** 0.5)
    assert pooled([[7.0], []]) is None
