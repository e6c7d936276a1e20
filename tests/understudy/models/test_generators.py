from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from understudy.arch import Block, build, inception, resnet
from understudy.models.inception import ConvBranch, IncResBlock
from understudy.models.initialise import init_normal

INCEPTION = inception(4, 3, 2, "batch", "reflect", "onehot", 5, (32, 32))
RESNET = resnet(4, 3, "instance", "reflect", "onehot", 5, (32, 32))


@pytest.mark.parametrize("norm", ["batch", "instance", "instance_affine"])
@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@pytest.mark.parametrize("arch", [INCEPTION, RESNET], ids=["inception", "resnet"])
def test_an_image_of_the_input_s_size_in_range(arch, padding, norm):
    net = build(replace(arch, padding=padding, norm=norm))
    image = net(torch.randn(2, 5, 20, 36))
    assert image.shape == (2, 3, 20, 36)
    assert image.abs().max() < 1 and image.std() > 0


@pytest.mark.parametrize("arch", [INCEPTION, RESNET], ids=["inception", "resnet"])
def test_taps_are_the_features_at_their_place(arch):
    net = build(arch).eval()
    x = torch.randn(2, 5, 32, 48)
    image, features = net(x, taps=(*arch.taps, arch.middle))
    assert torch.equal(image, net(x))
    assert set(features) == {"stem", "block.0", "block.1", "block.2"}
    assert {tuple(value.shape) for value in features.values()} == {(2, 16, 8, 12)}
    assert features["stem"].min() == 0  # after the ReLU
    assert torch.equal(features["stem"], net.down(x))
    assert torch.equal(features["block.1"], net.blocks[1](features["block.0"]))
    assert torch.equal(image, net.up(features["block.2"]))


def test_gradients_reach_the_input_and_every_weight_and_leave_tapped_features_unharmed():
    net = build(INCEPTION)
    x = torch.randn(2, 5, 32, 32, requires_grad=True)
    image, features = net(x, taps=("stem", "block.2"))
    (image.mean() + sum(value.pow(2).mean() for value in features.values())).backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in net.parameters())


def test_unknown_taps_and_sizes_are_refused():
    net = build(INCEPTION)
    with pytest.raises(ValueError, match=r"block\.3"):
        net(torch.randn(2, 5, 32, 32), taps=("stem", "block.3"))
    with pytest.raises(ValueError, match="multiples of 4"):
        net(torch.randn(2, 5, 32, 30))


def test_the_weights_names_say_kernel_and_branch():
    names = set(build(replace(INCEPTION, blocks=(Block({"3": 2}, {"5": 1}), *INCEPTION.blocks[1:]))).state_dict())
    assert {
        n.split(".")[2] + "." + n.split(".")[3] for n in names if n.startswith("blocks.0.") and n.count(".") > 3
    } == {
        "conv.3",
        "depthwise.5",
    }
    zero, reflect = (build(replace(INCEPTION, padding=padding)) for padding in ("zero", "reflect"))
    assert list(zero.state_dict()) == list(reflect.state_dict())


def test_a_block_without_branches_is_the_identity():
    block = IncResBlock(6, Block({}, {}), "batch", "reflect")
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(block(x), x)
    assert not list(block.parameters())


def test_a_block_adds_the_norm_of_the_sum_of_its_branches():
    block = IncResBlock(6, Block({"1": 2, "3": 3, "5": 4}, {"1": 2, "3": 3, "5": 4}), "batch", "reflect").double()
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    parts = [branch(x) for branch in (*block.conv.values(), *block.depthwise.values())]
    assert len(parts) == 6
    expected = x + F.batch_norm(torch.stack(parts).sum(0), None, None, training=True)
    assert torch.allclose(block(x), expected, atol=1e-12)
    assert block(x).min() < -0.5  # no ReLU after the sum


@pytest.mark.parametrize(
    ("padding", "mode"), [("reflect", "reflect"), ("replicate", "replicate"), ("zero", "constant")]
)
def test_padding_is_what_its_name_says(padding, mode):
    branch = ConvBranch(3, 4, 5, "instance", padding).double()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    first = F.conv2d(F.pad(x, (2, 2, 2, 2), mode), branch.first.weight, branch.first.bias)
    assert torch.allclose(branch.first(x), first, atol=1e-12)


def test_initial_weights_of_the_literature():
    arch = inception(32, 3, 6, "batch", "reflect", "rgb", 3, (64, 64))
    net, again, affine = build(arch), build(arch), build(replace(arch, norm="instance_affine"))
    for part in (net, again, affine):
        init_normal(part, torch.Generator().manual_seed(5))
    convs = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, torch.nn.Conv2d)])
    assert convs.mean().abs() < 1e-3 and convs.std().item() == pytest.approx(0.02, rel=0.01)
    scales = torch.cat([m.weight for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert scales.mean().item() == pytest.approx(1, abs=0.005) and scales.std().item() == pytest.approx(0.02, rel=0.1)
    assert not net.up[2].conv.bias.any()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    for module in affine.modules():
        if isinstance(module, torch.nn.InstanceNorm2d):
            assert (module.weight == 1).all() and not module.bias.any()
