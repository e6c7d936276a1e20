import numpy as np
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
from understudy.prune.selection import narrow, strongest
from understudy.prune.threshold import THRESHOLD

TEACHER = inception(64, 9, 6, "batch", "reflect", "rgb", 3, (256, 256))
SMALL = inception(4, 3, 4, "batch", "zero", "rgb", 3, (32, 32))


def test_the_pool_of_the_paper():
    members = TEACHER.widths()
    assert sum(members.values()) == 2908
    assert members["down.2"] == 256 and len(members) == 3 + 54 + 2


@pytest.mark.parametrize("seed", range(5))
def test_the_paper_s_budget(seed):
    selection = THRESHOLD.select(TEACHER, generic_scores(TEACHER, seed), 2.6e9, "macs_legacy", 16)
    assert 0.95 * 2.6e9 <= selection.cost.macs_legacy <= 2.6e9
    assert 0.42e6 <= selection.cost.params <= 0.47e6
    assert selection.evaluations <= 15
    assert min(*selection.arch.stem, *selection.arch.head) >= 16


def test_the_true_convention_keeps_more():
    scores = generic_scores(TEACHER)
    true, legacy = (THRESHOLD.select(TEACHER, scores, 2.6e9, counted, 16) for counted in ("macs_true", "macs_legacy"))
    assert true.cost.macs_true <= 2.6e9 < true.cost.macs_legacy
    assert true.level < legacy.level


def test_the_floor_is_the_paper_s_and_below_it_is_an_error():
    scores = generic_scores(TEACHER)
    floor = THRESHOLD.select(TEACHER, scores, 544_210_944, "macs_legacy", 16)
    assert floor.cost.macs_legacy == 544_210_944
    assert floor.arch.stem == (16, 16, 16) and floor.arch.head == (16, 16)
    assert not any(tuple(block) for block in floor.arch.blocks)
    with pytest.raises(
        UserError, match=r"0\.5 GMACs \(legacy\) cannot be reached.* 0\.544211 GMACs \(legacy\) are left"
    ):
        THRESHOLD.select(TEACHER, scores, 0.5e9, "macs_legacy", 16)
    with pytest.raises(UserError, match="cannot be reached"):
        THRESHOLD.select(TEACHER, scores, 544_210_943, "macs_legacy", 16)


@pytest.mark.parametrize("excess", [0, 1, 1e12])
def test_a_budget_that_the_teacher_meets_gives_the_teacher(excess):
    scores = generic_scores(TEACHER)
    selection = THRESHOLD.select(TEACHER, scores, cost(TEACHER).macs_true + excess, "macs_true", 16)
    assert selection.arch == TEACHER and selection.cost == cost(TEACHER)
    assert selection.level < min(values.min() for values in scores.values())
    assert selection.kept == {name: tuple(range(width)) for name, width in TEACHER.widths().items()}


def test_a_zero_scale_does_not_keep_the_teacher_from_being_whole():
    scores = generic_scores(SMALL)
    scores["up.0"][2] = 0.0
    assert THRESHOLD.select(SMALL, scores, 1e12, "macs_true", 1).arch == SMALL


def test_a_lower_bound_above_the_teacher_s_width_keeps_that_width():
    selection = THRESHOLD.select(SMALL, generic_scores(SMALL), 0.9 * cost(SMALL).macs_true, "macs_true", 6)
    assert selection.arch.stem[0] == 4 and selection.arch.head[1] == 4
    assert selection.arch.stem[1] >= 6


def test_equal_scores_bring_back_exactly_the_lower_bound_in_a_fixed_order():
    assert strongest(np.array([0.5, 2.0, 0.5, 0.5, 2.0]), 3) == (0, 1, 4)
    scores = {name: np.ones(width) for name, width in SMALL.widths().items()}
    scores["up.1"][:] = 2.0
    selection = THRESHOLD.select(SMALL, scores, 0.5 * cost(SMALL).macs_true, "macs_true", 2)
    assert selection.level == 1.0
    assert selection.arch.stem == (2, 2, 2) and selection.arch.head == (2, 4)
    assert selection.kept["down.2"] == (0, 1)


# Few distinct values, so that ties within and across norms are the rule.
tied = st.lists(st.integers(0, 6), min_size=sum(SMALL.widths().values()), max_size=sum(SMALL.widths().values()))


@settings(max_examples=60, deadline=None)
@given(tied, st.floats(0.05, 1.1), st.sampled_from(["macs_true", "macs_legacy"]), st.integers(1, 5))
def test_the_dearest_network_in_reach_whatever_the_ties(values, share, counted, min_width):
    scores, position = {}, 0
    for name, width in SMALL.widths().items():
        scores[name] = np.array(values[position : position + width], dtype=np.float64)
        position += width
    budget = share * cost(SMALL).of(counted)
    every = [
        narrow(SMALL, {name: int((of > threshold).sum()) for name, of in scores.items()}, min_width)
        for threshold in (-1.0, *sorted(set(map(float, values))))
    ]
    macs = [cost(arch).of(counted) for arch in every]
    assert macs == sorted(macs, reverse=True)
    if macs[-1] > budget:
        with pytest.raises(UserError, match="cannot be reached"):
            THRESHOLD.select(SMALL, scores, budget, counted, min_width)
        return
    selection = THRESHOLD.select(SMALL, scores, budget, counted, min_width)
    assert selection.cost == cost(selection.arch)
    assert selection.cost.of(counted) == max(m for m in macs if m <= budget)
    widths = selection.arch.widths()
    for name, kept in selection.kept.items():
        assert len(kept) == widths.get(name, 0) and list(kept) == sorted(set(kept))
        above = set(np.flatnonzero(scores[name] > selection.level).tolist())
        assert above <= set(kept)
        assert above == set(kept) or (not name.startswith("blocks.") and len(kept) == min(min_width, scores[name].size))


RESNET = resnet(64, 9, "instance", "reflect", "rgb", 3, (256, 256))
UNET = unet(64, 8, "batch", "rgb", 3, (256, 256))


@pytest.mark.parametrize("arch", [RESNET, UNET], ids=["resnet", "unet"])
@pytest.mark.parametrize("counted", ["macs_true", "macs_legacy"])
def test_a_tenth_of_every_family_s_cost_is_met(arch, counted):
    budget = 0.1 * cost(arch).of(counted)
    selection = THRESHOLD.select(arch, generic_scores(arch), budget, counted, 16)
    assert 0.95 * budget <= selection.cost.of(counted) <= budget
    assert {name: len(kept) for name, kept in selection.kept.items() if kept} == selection.arch.widths()
    assert all(width >= 16 for name, width in selection.arch.widths().items() if not name.startswith("blocks."))


def test_a_residual_block_may_vanish_and_a_unet_s_level_may_not():
    scores = generic_scores(RESNET)
    scores["blocks.4"] *= 0
    selection = THRESHOLD.select(RESNET, scores, 0.5 * cost(RESNET).macs_true, "macs_true", 16)
    assert selection.arch.blocks[4] == 0 and selection.kept["blocks.4"] == ()
    # As of the inception generator: the ends alone.
    floor = THRESHOLD.select(RESNET, scores, 544_210_944, "macs_legacy", 16)
    assert floor.arch.blocks == (0,) * 9 and floor.cost.macs_legacy == 544_210_944
    thinnest = narrow(UNET, dict.fromkeys(UNET.widths(), 0), 5)
    assert set(thinnest.widths().values()) == {5}
    assert THRESHOLD.select(UNET, generic_scores(UNET), cost(thinnest).macs_true, "macs_true", 5).arch == thinnest
    with pytest.raises(UserError, match="every other width at min_width 5"):
        THRESHOLD.select(UNET, generic_scores(UNET), cost(thinnest).macs_true - 1, "macs_true", 5)


SPADE = spade(64, 6, "onehot", 36, (256, 512))


def test_the_decoder_s_pool_is_the_paper_s():
    """Stem, branches of the blocks and of the modulations; widths that follow the stem's are in no pool."""
    members = {name: group.width for name, group in SPADE.groups().items() if group.follows is None}
    assert sum(members.values()) == 5914 and members["stem"] == 1024
    assert sum(width for name, width in members.items() if ".spade." in name) == 7 * 6 * 21
    assert {name for name in SPADE.widths() if name not in members} == {"up.0", "up.1", "up.2", "up.3"}


@pytest.mark.parametrize("budget", [30e9, 5.6e9])
def test_the_paper_s_budgets_of_the_decoder(budget):
    selection = THRESHOLD.select(SPADE, generic_scores(SPADE), budget, "macs_legacy", 16)
    assert 0.85 * budget <= selection.cost.macs_legacy <= budget  # the stem's width comes in steps of 16
    assert selection.evaluations <= 15
    widths, ngf = selection.arch.widths(), selection.arch.ngf
    assert ngf >= 16 and widths["stem"] == 16 * ngf
    assert [widths[f"up.{index}"] for index in range(4)] == [8 * ngf, 4 * ngf, 2 * ngf, ngf]
    assert {name: len(kept) for name, kept in selection.kept.items() if kept} == widths


def test_the_stem_s_survivors_are_rounded_down_and_only_their_number_counts_for_the_widths_that_follow():
    counts = {name: group.width for name, group in SPADE.groups().items()}
    for survivors, ngf in ((1024, 64), (1023, 63), (512 + 15, 32), (512, 32), (3, 16)):
        for follower in (0, 512):  # whatever its own scores say
            arch = narrow(SPADE, {**counts, "stem": survivors, "up.0": follower}, 16)
            assert arch.ngf == ngf and arch.blocks == SPADE.blocks
    scores = generic_scores(SPADE)
    scores["up.0"] += 100  # never seen by the search, which stays in the pool
    selection = THRESHOLD.select(SPADE, scores, 30e9, "macs_legacy", 16)
    assert selection.level < 10
    assert selection.kept["up.0"] == strongest(scores["up.0"], 8 * selection.arch.ngf)


def test_the_decoder_s_floor_is_the_paper_s_and_below_it_is_an_error():
    floor = THRESHOLD.select(SPADE, generic_scores(SPADE), 327_712_768, "macs_legacy", 16)
    assert floor.arch.ngf == 16 and floor.cost.macs_legacy == 327_712_768
    assert not any(block.main or block.spade for block in floor.arch.blocks)
    with pytest.raises(UserError, match=r"every other width at min_width 16, 0.327713 GMACs \(legacy\) are left"):
        THRESHOLD.select(SPADE, generic_scores(SPADE), 327_712_767, "macs_legacy", 16)


def test_a_modulation_goes_with_the_branches_that_read_it():
    scores = generic_scores(SPADE)
    for name, values in scores.items():
        if name.startswith("blocks.3.") and ".spade." not in name:
            values *= 0
    arch = THRESHOLD.select(SPADE, scores, 60e9, "macs_legacy", 16).arch
    assert not arch.blocks[3].main and not arch.blocks[3].spade
    assert arch.blocks[2].spade and not {name for name in arch.widths() if name.startswith("blocks.3")}


def test_the_original_of_the_decoder_can_be_cut_too():
    whole = gaugan(16, "onehot", 36, (256, 512))
    selection = THRESHOLD.select(whole, generic_scores(whole), 0.2 * cost(whole).macs_true, "macs_true", 4)
    assert 0.15 * cost(whole).macs_true <= selection.cost.macs_true <= 0.2 * cost(whole).macs_true
    assert selection.arch.widths()["up.3"] >= 4
