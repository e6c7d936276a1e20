from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from understudy.arch.decoder import DecoderArch
from understudy.arch.families import build
from understudy.arch.gaugan import gaugan
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.prune.scores import read_scores
from understudy.prune.surgery import cut, inherit, save_inherited
from understudy.prune.threshold import THRESHOLD
from understudy.prune.uniform import UNIFORM

FAMILIES = {
    "inception": inception(6, 3, 4, "batch", "zero", "onehot", 5, (32, 32)),
    "resnet": resnet(6, 3, "batch", "zero", "onehot", 5, (32, 32)),
    "unet": unet(6, 4, "batch", "onehot", 5, (32, 32)),
    "spade": spade(6, 2, "onehot", 5, (64, 64)),
    "gaugan": gaugan(6, "onehot", 5, (64, 64)),
}
WEAK = ("blocks.1", "blocks.0.depthwise.3")  # the block, and the branch, that a budget removes whole
NORMS = ("batch", "instance", "instance_affine")


def with_norms(*norms):
    """Every family with each of these norms that it can have."""
    cases = {
        f"{name}-{norm}": replace(whole, norm=norm)
        for name, whole in FAMILIES.items()
        for norm in norms
        if norm == "batch" or not isinstance(whole, DecoderArch)
    }
    return pytest.mark.parametrize("arch", cases.values(), ids=cases)


def weak(group):
    return group.startswith(WEAK)


def lived_in(arch, seed=0):
    """A network in eval mode whose every weight, shift and running statistic differs from its initial value; float64.

    Some of its residual branches and blocks are the weakest of all.
    """
    torch.manual_seed(seed)
    net = build(arch).double().eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if not value.is_floating_point():
                value.fill_(7)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
            else:
                value.normal_(0, 0.5)
        weights = net.state_dict()
        for layer in (*arch.norms(), *arch.convolutions()):
            group = getattr(layer, "channels", None) or layer.writes
            if weak(group.name) and f"{layer.name}.weight" in weights:
                weights[f"{layer.name}.weight"].mul_(1e-3)
    return net


def pruned(teacher, arch, min_width=3):
    weights = teacher.state_dict()
    return THRESHOLD.select(arch, read_scores(weights, arch), 0.3 * cost(arch).macs_true, "macs_true", min_width)


def zero_after(module, channels, kept, copies=1):
    """Set a module's output channels to zero, but for those that are kept (in each of the copies)."""
    mask = torch.zeros(channels, dtype=torch.float64)
    mask[list(kept)] = 1
    module.register_forward_hook(lambda module, args, output: output * mask.repeat(copies).view(1, -1, 1, 1))


def mask_pruned_channels(teacher, arch, selection):
    """Zero what the student lacks, wherever it is made (activations keep zeros): channels, and whole layers.

    Such are the norm that ends a removed block and the last convolution of a removed branch: no shift and no bias is
    added.
    """
    remaining = {layer.name for layer in (*selection.arch.norms(), *selection.arch.convolutions())}
    for layer in (*arch.norms(), *arch.convolutions()):
        group = getattr(layer, "channels", None) or layer.writes
        kept = selection.kept.get(group.name, range(group.width)) if layer.name in remaining else ()
        zero_after(teacher.get_submodule(layer.name), group.width, kept, getattr(layer, "copies", 1))


def positions(arch, tap, kept):
    """The surviving channels of a tapped feature."""
    if isinstance(arch, DecoderArch):
        return list(kept["up.1" if tap == "block.4" else "stem"])
    return list(kept[tap if arch.family == "unet" else "down.2"])


@with_norms(*NORMS)
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_the_inherited_student_is_the_teacher_with_its_pruned_channels_zeroed(arch, padding):
    arch = replace(arch, padding=padding) if hasattr(arch, "padding") else arch
    teacher = lived_in(arch)
    selection = pruned(teacher, arch)
    removed = {name for name, kept in selection.kept.items() if not kept}
    assert removed >= {name for name in arch.widths() if weak(name)}
    assert all(width < arch.widths()[name] for name, width in selection.arch.widths().items() if width > 6)
    student = build(selection.arch).double().eval()
    student.load_state_dict(cut(teacher.state_dict(), arch, selection.arch, selection.kept, "all"))
    mask_pruned_channels(teacher, arch, selection)
    x = torch.randn(2, 5, *arch.size, dtype=torch.float64)
    expected, theirs = teacher(x, taps=arch.taps)
    image, ours = student(x, taps=arch.taps)
    assert torch.allclose(image, expected, atol=1e-9)
    for tap in arch.taps:
        assert torch.allclose(ours[tap], theirs[tap][:, positions(arch, tap, selection.kept)], rtol=1e-9, atol=1e-9)
    assert image.std() > 0.01


@with_norms("batch", "instance")
def test_a_uniformly_narrower_student_inherits_too(arch):
    teacher = lived_in(arch)
    scores = read_scores(teacher.state_dict(), arch)
    selection = UNIFORM.select(arch, scores, 0.5 * cost(arch).macs_true, "macs_true", 3)
    assert all(width < arch.widths()[name] for name, width in selection.arch.widths().items() if width > 6)
    student = build(selection.arch).double().eval()
    student.load_state_dict(cut(teacher.state_dict(), arch, selection.arch, selection.kept, "all"))
    mask_pruned_channels(teacher, arch, selection)
    x = torch.randn(2, 5, *arch.size, dtype=torch.float64)
    assert torch.allclose(student(x), teacher(x), atol=1e-9) and teacher(x).std() > 0.01


@torch.no_grad()
def kill(net, arch, dead):
    """Set to zero all that makes the `dead` channels (by group), and what would be added of layers without any others:
    the norm that ends the block, the bias of a branch.
    """
    weights = net.state_dict()
    for layer in (*arch.convolutions(), *arch.norms()):
        group = getattr(layer, "channels", None) or layer.writes
        along = 1 if getattr(layer, "transposed", False) else 0
        gone = [
            copy * group.width + channel
            for copy in range(getattr(layer, "copies", 1))
            for channel in dead.get(group.name, [])
        ]
        for field, dimension in (("weight", along), ("bias", 0), ("running_mean", 0)):
            if (value := weights.get(f"{layer.name}.{field}")) is not None:
                value.index_fill_(dimension, torch.tensor(gone, dtype=torch.long), 0.0)
    for ending in ("blocks.1.norm", "blocks.1.second_norm"):
        for field in ("weight", "bias"):
            if (value := weights.get(f"{ending}.{field}")) is not None:
                value.zero_()
    for conv in arch.convolutions():
        (first, *others), bias = conv.reads, weights.get(f"{conv.name}.bias")
        if bias is not None and not others and len(dead.get(first.name, [])) == first.width:
            bias.zero_()


@with_norms(*NORMS)
def test_cutting_channels_that_are_zero_throughout_changes_nothing(arch):
    """In a UNet also where two groups are joined: each has dead channels of its own."""
    net, random = lived_in(arch), torch.Generator().manual_seed(1)
    dead = {
        name: list(range(width)) if weak(name) else torch.randperm(width, generator=random)[: width // 3].tolist()
        for name, width in arch.widths().items()
    }
    kill(net, arch, dead)
    alive = {name: tuple(sorted({*range(width)} - {*dead[name]})) for name, width in arch.widths().items()}
    smaller = arch.with_widths({name: len(kept) for name, kept in alive.items()})
    student = build(smaller).double().eval()
    student.load_state_dict(cut(net.state_dict(), arch, smaller, alive, "all"))
    x = torch.randn(2, 5, *arch.size, dtype=torch.float64)
    assert (student(x) - net(x)).abs().max() < 1e-9 and net(x).std() > 0.01


@with_norms(*NORMS)
def test_without_a_cut_everything_is_inherited_as_it_was(arch):
    teacher = lived_in(arch)
    selection = THRESHOLD.select(arch, read_scores(teacher.state_dict(), arch), 1e12, "macs_true", 1)
    state = cut(teacher.state_dict(), arch, selection.arch, selection.kept, "all")
    assert state.keys() == teacher.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())


@with_norms("batch", "instance")
@pytest.mark.parametrize("mode", ["none", "norm", "all"])
def test_each_mode_gives_what_it_says_through_a_file(arch, mode, tmp_path):
    teacher = lived_in(arch)
    selection = pruned(teacher, arch)
    path = tmp_path / "inherited.safetensors"
    save_inherited(cut(teacher.state_dict(), arch, selection.arch, selection.kept, mode), mode, path)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"inherit": mode}
    student = build(selection.arch).double()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    inherit(student, path)
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    in_norms = {
        f"{name}.{field}"
        for name, module in student.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for field in module.state_dict()
    }
    assert changed == {"none": set(), "norm": in_norms, "all": set(before)}[mode]


def test_what_does_not_fit_is_refused(tmp_path):
    arch = inception(4, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
    path = tmp_path / "inherited.safetensors"
    with pytest.raises(UserError, match="missing"):
        inherit(build(arch), path)
    save_inherited({"down.0.conv.weight": torch.zeros(1, 3, 7, 7)}, "all", path)
    with pytest.raises(UserError, match="size mismatch"):
        inherit(build(arch), path)
    save_inherited({"stranger": torch.zeros(1)}, "all", path)
    with pytest.raises(UserError, match="stranger"):
        inherit(build(arch), path)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match="damaged"):
        inherit(build(arch), path)
