"""The width-only student: the teacher's network, narrower."""

import pytest
from generic_scores import generic_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.arch.gaugan import gaugan
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.prune.selection import strongest
from understudy.prune.threshold import THRESHOLD
from understudy.prune.uniform import UNIFORM

FAMILIES = {
    "inception": inception(64, 9, 6, "batch", "reflect", "rgb", 3, (256, 256)),
    "resnet": resnet(64, 9, "instance", "reflect", "rgb", 3, (256, 256)),
    "unet": unet(64, 8, "batch", "rgb", 3, (256, 256)),
    "spade": spade(64, 6, "onehot", 36, (256, 512)),
    "gaugan": gaugan(64, "onehot", 36, (256, 512)),
}
every_family = pytest.mark.parametrize("whole", FAMILIES.values(), ids=FAMILIES)


def of_ngf(family, ngf):
    if family == "resnet":
        return resnet(ngf, 9, "instance", "reflect", "rgb", 3, (256, 256))
    return unet(ngf, 8, "batch", "rgb", 3, (256, 256))


@pytest.mark.parametrize(
    ("family", "ngf", "true_g", "legacy_g"),
    [("resnet", 32, 12.70, 14.51), ("resnet", 16, 3.33, 3.78), ("unet", 16, 0.41, 1.22)],
)
@pytest.mark.parametrize("counted", ["macs_true", "macs_legacy"])
def test_srpkd_s_pairs_are_the_plain_networks(family, ngf, true_g, legacy_g, counted):
    """Also with 0.2 % to spare, as a budget that is read off a table may have it."""
    whole, plain = FAMILIES[family], of_ngf(family, ngf)
    for share in (1.0, 1.002):
        budget = share * cost(plain).of(counted)
        selection = UNIFORM.select(whole, generic_scores(whole), budget, counted, 16)
        assert selection.arch == plain and selection.arch.widths() == plain.widths()
        assert selection.cost == cost(plain) and selection.level == ngf / 64
    assert selection.cost.macs_true / 1e9 == pytest.approx(true_g, abs=0.005)
    assert selection.cost.macs_legacy / 1e9 == pytest.approx(legacy_g, abs=0.005)


@pytest.mark.parametrize("family", ["resnet", "six", "unet"])
@pytest.mark.parametrize("budget", [2.6e9, 4.6e9, 5.6e9])
def test_a_width_only_network_meets_the_budgets_of_cat_s_students(family, budget):
    """Equal cost, whatever the scores: the plain network that a pruned student is set against."""
    whole = FAMILIES.get(family) or resnet(64, 6, "instance", "reflect", "rgb", 3, (256, 256))
    found = UNIFORM.select(whole, generic_scores(whole), budget, "macs_legacy", 8)
    assert 0.97 * budget <= found.cost.macs_legacy <= budget
    assert found.arch == UNIFORM.select(whole, generic_scores(whole, seed=1), budget, "macs_legacy", 8).arch


@every_family
@pytest.mark.parametrize("counted", ["macs_true", "macs_legacy"])
def test_every_width_is_the_same_share_rounded_down(whole, counted):
    budget = 0.1 * cost(whole).of(counted)
    selection = UNIFORM.select(whole, generic_scores(whole), budget, counted, 1)
    assert 0.85 * budget <= selection.cost.of(counted) <= budget
    assert selection.cost == cost(selection.arch)
    before, after = whole.groups(), selection.arch.groups()
    assert before.keys() == after.keys()  # nothing vanishes
    for name, group in before.items():
        units = group.width // group.unit
        assert after[name].width == max(1, int(units * selection.level)) * group.unit


@every_family
def test_the_strongest_channels_survive(whole):
    scores = generic_scores(whole)
    selection = UNIFORM.select(whole, scores, 0.2 * cost(whole).macs_true, "macs_true", 16)
    widths = selection.arch.widths()
    assert selection.kept == {name: strongest(values, widths[name]) for name, values in scores.items()}


@every_family
def test_lower_bounds_hold_and_what_the_teacher_costs_gives_the_teacher(whole):
    scores = generic_scores(whole)
    narrowest = UNIFORM.select(whole, scores, 0.1 * cost(whole).macs_true, "macs_true", 30).arch
    for name, group in narrowest.groups().items():
        assert group.removable or group.width >= 30 * group.unit, name
    selection = UNIFORM.select(whole, scores, cost(whole).macs_true, "macs_true", 30)
    assert selection.arch == whole and selection.level == 1
    assert UNIFORM.select(whole, scores, cost(whole).macs_true - 1, "macs_true", 30).arch != whole


@every_family
def test_below_the_floor_is_an_error_and_at_it_every_width_is_least(whole):
    scores = generic_scores(whole)
    with pytest.raises(UserError, match=r"cannot be reached: with every width at min_width 8, and at 1 inside"):
        UNIFORM.select(whole, scores, 1.0, "macs_legacy", 8)
    low, high = 1, cost(whole).macs_legacy
    while low < high:
        middle = (low + high) // 2
        try:
            floor = UNIFORM.select(whole, scores, middle, "macs_legacy", 8)
            high = middle
        except UserError:
            low = middle + 1
    assert floor.cost.macs_legacy == low
    assert {group.width // group.unit for group in floor.arch.groups().values()} <= {1, 8}


SMALL = inception(6, 3, 4, "batch", "zero", "rgb", 3, (32, 32))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 1.1), st.sampled_from(["macs_true", "macs_legacy"]), st.integers(1, 5))
def test_no_larger_factor_meets_the_budget(share, counted, min_width):
    """Every factor in steps of a thousandth is asked."""
    budget = share * cost(SMALL).of(counted)
    try:
        selection = UNIFORM.select(SMALL, generic_scores(SMALL), budget, counted, min_width)
    except UserError:
        with pytest.raises(UserError):
            UNIFORM.select(SMALL, generic_scores(SMALL, 1), budget, counted, min_width)  # whatever the scores
        return

    def of(factor):
        def width(name, group):
            narrowed = int(factor * group.width)
            return max(1, narrowed) if group.removable else min(max(min_width, narrowed), group.width)

        return SMALL.with_widths({name: width(name, group) for name, group in SMALL.groups().items()})

    assert of(selection.level + 1e-9) == selection.arch
    within = [n for n in range(1001) if cost(of(n / 1000 + 1e-9)).of(counted) <= budget]
    assert cost(of(max(within) / 1000 + 1e-9)).of(counted) <= selection.cost.of(counted) <= budget


def test_a_threshold_and_a_factor_spend_one_budget_differently():
    whole = FAMILIES["inception"]
    scores, budget = generic_scores(whole), 0.1 * cost(whole).macs_true
    by_factor = UNIFORM.select(whole, scores, budget, "macs_true", 16)
    by_threshold = THRESHOLD.select(whole, scores, budget, "macs_true", 16)
    assert by_factor.arch != by_threshold.arch
    assert len({branches.conv["3"] for branches in by_factor.arch.blocks}) == 1
