"""A budget of parameters: every family, both ways of choosing."""

import numpy as np
import pytest
from generic_scores import generic_scores
from test_uniform import every_family

from understudy.cost import cost
from understudy.errors import UserError
from understudy.prune.threshold import THRESHOLD
from understudy.prune.uniform import UNIFORM

both = pytest.mark.parametrize("method", [THRESHOLD, UNIFORM], ids=["threshold", "uniform"])


@every_family
@both
@pytest.mark.parametrize("share", [0.5, 0.1, 0.03])
def test_it_is_met_within_a_tenth(whole, method, share):
    budget = share * cost(whole).params
    selection = method.select(whole, generic_scores(whole), budget, "params", 8)
    assert 0.9 * budget <= selection.cost.params <= budget < selection.wider.params
    assert selection.cost == cost(selection.arch)


@every_family
@both
def test_what_the_teacher_has_gives_the_teacher_and_less_than_the_floor_is_an_error(whole, method):
    scores, most = generic_scores(whole), cost(whole).params
    selection = method.select(whole, scores, most, "params", 8)
    assert selection.arch == whole and selection.wider is None
    floor = method.ladder(whole, scores, 8)
    least = cost(floor.arch(len(floor.levels) - 1)).params
    assert method.select(whole, scores, least, "params", 8).cost.params == least
    message = (
        rf"prune\.budget\.params_m: {(least - 1) / 1e6:g} M parameters cannot be reached: with {method.floor_text(8)}"
    )
    with pytest.raises(UserError, match=message):
        method.require_reachable(whole, least - 1, "params", 8)


@every_family
@both
def test_down_the_ladder_no_cost_grows(whole, method):
    ladder = method.ladder(whole, generic_scores(whole), 8)
    levels = np.linspace(0, len(ladder.levels) - 1, 30, dtype=int)
    costs = [cost(ladder.arch(level)) for level in levels]
    assert ladder.arch(0) == whole
    for of in ("macs_true", "macs_legacy", "params"):
        counts = [found.of(of) for found in costs]
        assert counts == sorted(counts, reverse=True)
