"""Closed-form costs against the networks themselves, on the meta device, and against the counts of the literature."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from understudy.arch import Arch, Block, ResnetArch, build, inception, resnet
from understudy.cost import Cost, convolutions, cost, norms
from understudy.models.inception import IncResBlock
from understudy.models.resnet import ResBlock

RESNET9 = resnet(64, 9, "instance", "reflect", "rgb", 3, (256, 256))
TEACHER = inception(64, 9, 6, "instance_affine", "reflect", "rgb", 3, (256, 256))


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
    ],
    ids=["resnet9", "inception-instance", "inception-batch"],
)
def test_the_counts_of_the_literature(arch, true, legacy, params):
    assert cost(arch) == counted(arch, arch.size) == Cost(true, legacy, params)


@pytest.mark.parametrize(("arch", "elements"), [(RESNET9, 32_505_856), (TEACHER, 37_003_264)])
def test_norm_elements_of_the_literature(arch, elements):
    with torch.device("meta"):
        assert norm_elements(build(arch), torch.empty(1, 3, 256, 256)) == elements


def test_one_block_of_each_family():
    with torch.device("meta"):
        for block, macs in (
            (IncResBlock(256, TEACHER.blocks[0], "batch", "reflect"), 3_353_075_712),
            (ResBlock(256, "batch", "reflect"), 4_831_838_208),
        ):
            with FlopCounterMode(display=False) as counter:
                block(torch.empty(1, 256, 64, 64))
            assert counter.get_total_flops() == 2 * macs


def test_ratios_of_the_paper():
    original = cost(RESNET9).macs_legacy
    for student, ratio in ((2.56e9, 22.2), (5.57e9, 10.2), (4.59e9, 12.4)):
        assert original / student == pytest.approx(ratio, abs=0.05)


@pytest.mark.parametrize("arch", [replace(TEACHER, norm="batch"), TEACHER, RESNET9], ids=["batch", "affine", "resnet"])
def test_every_convolution_and_norm_by_name(arch):
    with torch.device("meta"):
        modules = dict(build(arch).named_modules())
    listed = {conv.name: conv for conv in convolutions(arch)}
    built = {name: m for name, m in modules.items() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    assert list(listed) == list(built)
    for name, conv in listed.items():
        assert conv.weights == built[name].weight.numel()
        assert conv.bias == (built[name].bias is not None)
        assert conv.transposed == isinstance(built[name], nn.ConvTranspose2d)
    built_norms = {name: m.num_features for name, m in modules.items() if hasattr(m, "num_features")}
    assert dict(norms(arch)) == built_norms


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
    if draw(st.booleans()):
        return replace(resnet(ngf=1, blocks=3 * draw(st.integers(1, 2)), **fields), **ends)
    blocks = draw(st.lists(st.builds(Block, branches, branches), min_size=3, max_size=3))
    return replace(inception(ngf=1, blocks=3, reduction=1, **fields), **ends, blocks=tuple(blocks))


@settings(max_examples=25, deadline=None)
@given(architectures(), st.tuples(st.integers(5, 20), st.integers(5, 20)))
def test_closed_form_is_what_the_built_network_costs(arch, quarter):
    size = (4 * quarter[0], 4 * quarter[1])
    assert cost(replace(arch, size=size)) == counted(arch, size)


def test_the_two_conventions_differ_by_the_transposed_convolutions_alone():
    arch = ResnetArch(**{**vars(RESNET9), "size": (64, 128)})
    transposed = [conv for conv in convolutions(arch) if conv.transposed]
    assert len(transposed) == 2
    extra = sum(3 * conv.macs_true for conv in transposed)
    assert cost(arch).macs("legacy") - cost(arch).macs("true") == extra
    assert cost(replace(arch, size=(128, 256))).macs_true == 4 * cost(arch).macs_true
