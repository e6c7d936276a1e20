import pytest
import torch
from safetensors import safe_open
from torch import nn

from understudy.arch import build, inception
from understudy.cost import cost, norms
from understudy.errors import UserError
from understudy.prune.scores import TRUNK, read_scores
from understudy.prune.surgery import cut, inherit, save_inherited
from understudy.prune.threshold import select


def lived_in(arch, seed=0):
    """A network in eval mode whose every weight, shift and running statistic differs from its initial value; float64.

    Block 1 and one branch of block 0 are the weakest of all, so that a budget removes them whole.
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
            if name.startswith(("blocks.1.", "blocks.0.depthwise.3.")) and name.endswith("norm.weight"):
                value.mul_(1e-3)
    return net


def pruned(teacher, arch, min_width=3):
    weights = teacher.state_dict()
    return select(arch, read_scores(weights, arch), 0.3 * cost(arch).macs_true, "true", min_width)


def mask_pruned_channels(teacher, arch, selection):
    """Zero what the student lacks, after every norm (a ReLU keeps zeros); after a block's last one, trunk channels."""
    for name, channels in norms(arch):
        parts = name.split(".")
        after_sum = parts[0] == "blocks" and len(parts) == 3
        owner = TRUNK if after_sum else name.replace("spatial_norm", "norm")
        mask = torch.zeros(channels, dtype=torch.float64)
        mask[list(selection.kept[owner])] = 1
        if after_sum and not tuple(selection.arch.blocks[int(parts[1])].branches()):
            mask.zero_()  # the block is the identity in the student: its norm's shift must not be added either
        teacher.get_submodule(name).register_forward_hook(
            lambda module, args, output, mask=mask: output * mask.view(1, -1, 1, 1)
        )


@pytest.mark.parametrize("norm", ["batch", "instance_affine"])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_the_inherited_student_is_the_teacher_with_its_pruned_channels_zeroed(norm, padding):
    arch = inception(6, 3, 4, norm, padding, "onehot", 5, (32, 32))
    teacher = lived_in(arch)
    selection = pruned(teacher, arch)
    assert not tuple(selection.arch.blocks[1].branches()) and "3" not in selection.arch.blocks[0].depthwise
    assert tuple(selection.arch.blocks[0].branches()) and selection.arch.trunk < arch.trunk
    student = build(selection.arch).double().eval()
    student.load_state_dict(cut(teacher.state_dict(), selection.arch, selection.kept, "all"))
    mask_pruned_channels(teacher, arch, selection)
    x = torch.randn(2, 5, 32, 32, dtype=torch.float64)
    expected, theirs = teacher(x, taps=arch.taps)
    image, ours = student(x, taps=arch.taps)
    assert torch.allclose(image, expected, atol=1e-9)
    for tap in arch.taps:
        assert torch.allclose(ours[tap], theirs[tap][:, list(selection.kept[TRUNK])], rtol=1e-9, atol=1e-9)
    assert image.std() > 0.01


def test_without_a_cut_everything_is_inherited_as_it_was():
    arch = inception(4, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
    teacher = lived_in(arch)
    selection = select(arch, read_scores(teacher.state_dict(), arch), 1e12, "true", 1)
    state = cut(teacher.state_dict(), selection.arch, selection.kept, "all")
    assert state.keys() == teacher.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("mode", ["none", "norm", "all"])
def test_each_mode_gives_what_it_says_through_a_file(mode, tmp_path):
    arch = inception(6, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
    teacher = lived_in(arch)
    selection = pruned(teacher, arch)
    path = tmp_path / "inherited.safetensors"
    save_inherited(cut(teacher.state_dict(), selection.arch, selection.kept, mode), mode, path)
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
