"""Closed-form costs against the networks themselves, on the meta device, and against the counts of the literature."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from understudy.arch.base import Arch
from understudy.arch.branches import Branches
from understudy.arch.families import build
from understudy.arch.gaugan import GauganBlock, gaugan
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import SpadeBlock, spade
from understudy.arch.unet import unet
from understudy.cost import Cost, cost
from understudy.models.inception import IncResBlock
from understudy.models.resnet import ResBlock
from understudy.prune.selection import narrow

RESNET9 = resnet(64, 9, "instance", "reflect", "rgb", 3, (256, 256))
TEACHER = inception(64, 9, 6, "instance_affine", "reflect", "rgb", 3, (256, 256))
UNET256 = unet(64, 8, "batch", "rgb", 3, (256, 256))
SPADE = spade(64, 6, "onehot", 36, (256, 512))
GAUGAN = gaugan(64, "onehot", 36, (256, 512))
THINNED = replace(
    spade(12, 6, "onehot", 5, (64, 128)),
    blocks=(
        SpadeBlock(Branches({"3": 2}, {"5": 3}), Branches({}, {"1": 4})),
        SpadeBlock(Branches({}, {}), Branches({}, {})),
        SpadeBlock(Branches({"1": 2}, {}), Branches({}, {})),
        *SPADE.blocks[3:5],
        SpadeBlock(Branches({}, {}), Branches({}, {})),
        SpadeBlock(Branches({}, {"3": 1}), Branches({"5": 2}, {})),
    ),
)
SLIMMED = replace(
    gaugan(3, "onehot", 5, (64, 128)),
    blocks=(
        GauganBlock(5, 0, 3, 0),
        GauganBlock(0, 0, 0, 0),
        GauganBlock(6, 2, 0, 0),
        GauganBlock(0, 0, 0, 4),
        GauganBlock(2, 1, 1, 0),
        *GAUGAN.blocks[5:],
    ),
)


def norm_elements(net: nn.Module, x: torch.Tensor) -> int:
    """Elements that instance norms see in one forward pass."""
    seen = []
    for module in net.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.register_forward_hook(lambda module, args, output: seen.append(output.numel()))
    net(x)
    return sum(seen)


def counted(arch: Arch, size: tuple[int, int]) -> Cost:
    """The same three numbers from the built network: torch's counter, output sizes seen by hooks, its parameters."""
    legacy = []

    def at_output_size(module: nn.Conv2d, args: object, output: torch.Tensor) -> None:
        legacy.append(module.weight.numel() * output.shape[-2] * output.shape[-1])

    with torch.device("meta"):
        net = build(arch)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(at_output_size)
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, arch.input_channels, *size))
    return Cost(counter.get_total_flops() // 2, sum(legacy), sum(p.numel() for p in net.parameters()))


@pytest.mark.parametrize(
    ("arch", "true", "legacy", "params"),
    [
        (RESNET9, 49_551_507_456, 56_799_264_768, 11_378_179),
        (TEACHER, 36_242_644_992, 43_490_402_304, 8_154_255),
        (replace(TEACHER, norm="batch"), 36_242_644_992, 43_490_402_304, 8_136_389),
        (UNET256, 6_048_186_368, 18_140_364_800, 54_413_955),
        (unet(64, 7, "batch", "rgb", 3, (128, 128)), 1_505_755_136, 4_513_071_104, 41_828_995),
        (SPADE, 109_773_614_880, 109_773_614_880, 55_592_325),
        (GAUGAN, 281_276_612_608, 281_276_612_608, 93_048_003),
    ],
    ids=["resnet9", "inception-instance", "inception-batch", "unet256", "unet128", "spade", "gaugan"],
)
def test_the_counts_of_the_literature(arch, true, legacy, params):
    assert cost(arch) == counted(arch, arch.size) == Cost(true, legacy, params)


@pytest.mark.parametrize(
    ("arch", "params_m", "true_g", "legacy_g"),
    [
        (RESNET9, 11.378, 49.55, 56.80),
        (resnet(32, 9, "instance", "reflect", "rgb", 3, (256, 256)), 2.851, 12.70, 14.51),
        (resnet(16, 9, "instance", "reflect", "rgb", 3, (256, 256)), 0.716, 3.33, 3.78),
        (resnet(16, 6, "instance", "reflect", "rgb", 3, (256, 256)), 0.494, 2.42, 2.88),
        (UNET256, 54.414, 6.05, 18.14),
        (unet(32, 8, "batch", "rgb", 3, (256, 256)), 13.608, 1.55, 4.65),
        (unet(16, 8, "batch", "rgb", 3, (256, 256)), 3.404, 0.41, 1.22),
    ],
    ids=["resnet9-64", "resnet9-32", "resnet9-16", "resnet6-16", "unet256-64", "unet256-32", "unet256-16"],
)
def test_the_pairs_of_srpkd(arch, params_m, true_g, legacy_g):
    """To 0.5 %, or to the last digit given."""
    found = cost(arch)
    assert found.params / 1e6 == pytest.approx(params_m, rel=0.005)
    assert found.macs_true / 1e9 == pytest.approx(true_g, rel=0.005, abs=0.005)
    assert found.macs_legacy / 1e9 == pytest.approx(legacy_g, rel=0.005)


@pytest.mark.parametrize(("arch", "elements"), [(RESNET9, 32_505_856), (TEACHER, 37_003_264)])
def test_norm_elements_of_the_literature(arch, elements):
    with torch.device("meta"):
        assert norm_elements(build(arch), torch.empty(1, 3, 256, 256)) == elements


def test_norm_elements_of_the_floor():
    """All branches removed and every other width 16, counted as the released code does: with the norms' elements."""
    floor = narrow(TEACHER, dict.fromkeys(TEACHER.widths(), 0), 16)
    with torch.device("meta"):
        elements = norm_elements(build(floor), torch.empty(1, 3, 256, 256))
    assert cost(floor).macs_legacy + elements == 546_897_920


def test_one_block_of_each_family():
    with torch.device("meta"):
        for block, macs in (
            (IncResBlock(256, TEACHER.blocks[0], "batch", "reflect"), 3_353_075_712),
            (ResBlock(256, 256, "batch", "reflect"), 4_831_838_208),
        ):
            with FlopCounterMode(display=False) as counter:
                block(torch.empty(1, 256, 64, 64))
            assert counter.get_total_flops() == 2 * macs


def test_ratios_of_the_paper():
    original = cost(RESNET9).macs_legacy
    for student, ratio in ((2.56e9, 22.2), (5.57e9, 10.2), (4.59e9, 12.4)):
        assert original / student == pytest.approx(ratio, abs=0.05)
    for student, ratio in ((29.9e9, 9.4), (5.52e9, 50.9)):
        assert cost(GAUGAN).macs_legacy / student == pytest.approx(ratio, abs=0.1)


@pytest.mark.parametrize(
    "arch",
    [replace(TEACHER, norm="batch"), TEACHER, RESNET9, replace(RESNET9, blocks=(5, 0, 7)), UNET256,
     unet(4, 2, "instance_affine", "rgb", 3, (32, 32)), SPADE, THINNED, GAUGAN, SLIMMED],
    ids=["batch", "affine", "resnet", "pruned-resnet", "unet", "flat-unet", "spade", "pruned-spade", "gaugan",
         "pruned-gaugan"],
)  # fmt: skip
def test_every_convolution_and_norm_by_name(arch):
    with torch.device("meta"):
        modules = dict(build(arch).named_modules())
    listed = {conv.name: conv for conv in arch.convolutions()}
    built = {name: m for name, m in modules.items() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    assert list(listed) == list(built)
    for name, conv in listed.items():
        assert conv.weights == built[name].weight.numel() and conv.filters == built[name].out_channels
        assert conv.bias == (built[name].bias is not None)
        assert conv.transposed == isinstance(built[name], nn.ConvTranspose2d)
    built_norms = {name: (m.num_features, m.affine) for name, m in modules.items() if hasattr(m, "num_features")}
    assert {n.name: (n.channels.width, n.scales and arch.has_scales) for n in arch.norms()} == built_norms


widths = st.integers(1, 20)
branches = st.dictionaries(st.sampled_from(["1", "3", "5", "7"]), widths, max_size=4)


@st.composite
def architectures(draw: st.DrawFn) -> Arch:
    fields = {
        "size": (64, 64),
        "encoding": "onehot",
        "input_channels": draw(widths),
        "norm": draw(st.sampled_from(["batch", "instance", "instance_affine"])),
        "padding": draw(st.sampled_from(["reflect", "replicate", "zero"])),
    }
    ends = {"stem": (draw(widths), draw(widths), draw(widths)), "head": (draw(widths), draw(widths))}
    family = draw(st.sampled_from(["inception", "resnet", "unet"]))
    if family == "unet":
        down = draw(st.lists(widths, min_size=2, max_size=3))
        up = draw(st.lists(widths, min_size=len(down) - 1, max_size=len(down) - 1))
        del fields["padding"]
        return replace(unet(ngf=1, levels=2, **fields), down=tuple(down), up=tuple(up))
    if family == "resnet":
        blocks = draw(st.lists(st.integers(0, 20), min_size=3, max_size=3))
        return replace(resnet(ngf=1, blocks=3, **fields), **ends, blocks=tuple(blocks))
    blocks = draw(st.lists(st.builds(Branches, branches, branches), min_size=3, max_size=3))
    return replace(inception(ngf=1, blocks=3, reduction=1, **fields), **ends, blocks=tuple(blocks))


@settings(max_examples=25, deadline=None)
@given(architectures(), st.tuples(st.integers(4, 20), st.integers(4, 20)))
def test_closed_form_is_what_the_built_network_costs(arch, times):
    size = (arch.stride * times[0], arch.stride * times[1])
    assert cost(replace(arch, size=size)) == counted(arch, size)


@pytest.mark.parametrize("arch", [THINNED, SLIMMED], ids=["spade", "gaugan"])
def test_the_closed_form_of_a_pruned_decoder(arch):
    for size in ((64, 128), (192, 64)):
        assert cost(replace(arch, size=size)) == counted(arch, size)


@pytest.mark.parametrize(("whole", "count"), [(RESNET9, 2), (UNET256, 8)], ids=["resnet", "unet"])
def test_the_two_conventions_differ_by_the_transposed_convolutions_alone(whole, count):
    arch = replace(whole, size=(256, 512))
    transposed = [conv for conv in arch.convolutions() if conv.transposed]
    assert len(transposed) == count
    extra = sum(3 * conv.macs_true for conv in transposed)
    assert cost(arch).of("macs_legacy") - cost(arch).of("macs_true") == extra
    assert cost(replace(arch, size=(512, 1024))).macs_true == 4 * cost(arch).macs_true
