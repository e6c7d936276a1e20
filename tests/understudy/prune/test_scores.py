"""What ranks a channel, in every family, with and without norm scales."""

import numpy as np
import pytest
import torch

from understudy.arch.families import build
from understudy.arch.gaugan import gaugan
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.models.initialise import init_normal
from understudy.prune.scores import ranking, read_scores
from understudy.prune.threshold import THRESHOLD


def arch_of(family, norm):
    if family == "unet":
        return unet(4, 3, norm, "rgb", 3, (32, 32))
    if family == "resnet":
        return resnet(4, 3, norm, "zero", "rgb", 3, (32, 32))
    return inception(4, 3, 4, norm, "zero", "rgb", 3, (32, 32))


def weights_of(arch, seed=0):
    net = build(arch)
    init_normal(net, torch.Generator().manual_seed(seed))
    return net.state_dict()


@pytest.mark.parametrize("norm", ["batch", "instance", "instance_affine"])
@pytest.mark.parametrize("family", ["inception", "resnet", "unet"])
def test_every_group_has_one_score_for_each_channel(family, norm):
    arch = arch_of(family, norm)
    weights = weights_of(arch)
    for name in weights:
        if name.endswith("norm.weight"):
            weights[name] = torch.rand_like(weights[name])
    scores = read_scores(weights, arch)
    assert {name: values.shape for name, values in scores.items()} == {n: (w,) for n, w in arch.widths().items()}
    assert all(values.dtype == np.float64 and (values >= 0).all() for values in scores.values())
    assert ranking(arch) == ("weight magnitude" if norm == "instance" else "norm scales")


def test_scales_count_by_their_magnitude_and_the_first_norm_of_a_group_decides():
    arch = arch_of("inception", "batch")
    weights = weights_of(arch)
    weights["up.1.norm.weight"][:] = -3
    weights["blocks.0.norm.weight"][:] = 7  # the trunk's, after a block's sum
    weights["blocks.0.depthwise.3.spatial_norm.weight"][:] = 7
    scores = read_scores(weights, arch)
    assert (scores["up.1"] == 3).all()
    np.testing.assert_array_equal(scores["down.2"], weights["down.2.norm.weight"].abs().double().numpy())
    assert max(values.max() for values in scores.values()) == 3


def test_without_scales_a_filter_s_mean_magnitude_counts_whatever_its_size():
    arch = arch_of("resnet", "instance")
    weights = {name: torch.full_like(value, 0.5) for name, value in weights_of(arch).items()}
    weights["blocks.1.first.weight"][3] = -2.0
    weights["blocks.1.second.weight"][:] = 9.0  # writes the trunk, which the stem ranks
    weights["up.0.conv.weight"][:, 2] = 0.25  # transposed: [Cin, Cout, k, k]
    weights["up.2.conv.weight"][:] = 9.0  # the image's
    scores = read_scores(weights, arch)
    assert scores["blocks.1"][3] == 2.0 and scores["up.0"][2] == 0.25
    rest = np.concatenate(list(scores.values()))
    assert (rest == 0.5).sum() == rest.size - 2


def test_a_unet_s_levels_without_a_norm_keep_the_share_that_the_others_keep_and_their_strongest_filters():
    arch = unet(16, 4, "batch", "rgb", 3, (32, 32))
    weights = weights_of(arch)
    for name in weights:
        if name.endswith("norm.weight"):
            weights[name] = torch.randn_like(weights[name])
    scores = read_scores(weights, arch)
    scales = np.concatenate([values for name, values in scales_of(scores)])
    for name in ("down.0", "down.3"):
        magnitudes = weights[f"{name}.conv.weight"].abs().double().mean((1, 2, 3)).numpy()
        assert set(scores[name]) <= set(scales)
        for threshold in np.quantile(scales, [0, 0.1, 0.37, 0.5, 0.9, 1]):
            above = scores[name] > threshold
            assert above.mean() == pytest.approx((scales > threshold).mean(), abs=1 / above.size)
            if above.any() and not above.all():
                assert magnitudes[above].min() >= magnitudes[~above].max()


def scales_of(scores):
    return [(name, values) for name, values in scores.items() if name not in ("down.0", "down.3")]


@pytest.mark.parametrize(
    ("family", "norm"),
    [("inception", "batch"), ("inception", "instance"), ("resnet", "batch"), ("resnet", "instance"),
     ("unet", "instance")],
)  # fmt: skip
def test_what_is_dead_goes_first(family, norm):
    arch = arch_of(family, norm)
    weights = weights_of(arch)
    for group in ("down.1", "up.0"):
        if norm == "instance":
            weights[f"{group}.conv.weight"].index_fill_(int(group == "up.0"), torch.tensor([1, 2]), 0.0)
        else:
            weights[f"{group}.norm.weight"][1:3] = 0.0
    smaller = arch.with_widths(
        {name: width - 2 * (name in ("down.1", "up.0")) for name, width in arch.widths().items()}
    )
    selection = THRESHOLD.select(arch, read_scores(weights, arch), cost(smaller).macs_true, "macs_true", 1)
    assert selection.arch == smaller and selection.level == 0
    assert not {1, 2} & {*selection.kept["down.1"], *selection.kept["up.0"]}


@pytest.mark.parametrize("family", ["inception", "resnet", "unet"])
def test_scores_that_rank_nothing_are_refused(family):
    untrained = arch_of(family, "instance_affine")
    with pytest.raises(UserError, match=r"norm scales are 1, .*train it before pruning"):
        read_scores(weights_of(untrained), untrained)
    flat = arch_of(family, "instance")
    weights = {name: torch.ones_like(value) for name, value in weights_of(flat).items()}
    with pytest.raises(UserError, match="filter magnitudes are 1, "):
        read_scores(weights, flat)


@pytest.mark.parametrize(
    ("family", "norm", "name", "group"),
    [
        ("inception", "batch", "blocks.1.conv.3.norm.weight", r"blocks\.1\.conv\.3"),
        ("resnet", "instance", "blocks.1.first.weight", r"blocks\.1"),
        ("unet", "batch", "down.2.conv.weight", r"down\.2"),
    ],
)
def test_a_teacher_that_diverged_is_refused(family, norm, name, group):
    arch = arch_of(family, norm)
    weights = weights_of(arch)
    weights[name].flatten()[0] = float("nan")
    with pytest.raises(UserError, match=rf"NaN or infinite in {group}: its training diverged"):
        read_scores(weights, arch)


def test_a_decoder_s_norms_without_scales_rank_nothing_and_the_original_has_no_others():
    arch = spade(6, 6, "onehot", 5, (64, 64))
    weights = weights_of(arch)
    scores = read_scores(weights, arch)
    assert {name: values.shape for name, values in scores.items()} == {n: (w,) for n, w in arch.widths().items()}
    for group, norm in (("stem", "stem.norm"), ("up.0", "blocks.4.shortcut.norm"), ("blocks.2.spade.conv.3",) * 2):
        name = norm if norm.endswith("norm") else f"{norm}.norm"
        np.testing.assert_array_equal(scores[group], weights[f"{name}.weight"].abs().double().numpy())
    order = weights["blocks.6.conv.1.second.weight"].abs().double().mean((1, 2, 3)).argsort().tolist()
    assert np.argsort(scores["up.3"], kind="stable").tolist() == order  # no norm: by magnitude, among its own
    assert ranking(gaugan(6, "onehot", 5, (64, 64))) == "weight magnitude"
