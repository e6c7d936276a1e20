from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from understudy.arch.branches import Branches
from understudy.arch.families import build
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.unet import unet
from understudy.models.branches import ConvBranch
from understudy.models.inception import IncResBlock
from understudy.models.initialise import init_normal

INCEPTION = inception(4, 3, 2, "batch", "reflect", "onehot", 5, (32, 32))
RESNET = resnet(4, 3, "instance", "reflect", "onehot", 5, (32, 32))
UNET = unet(4, 3, "batch", "onehot", 5, (32, 32))


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


@pytest.mark.parametrize("norm", ["batch", "instance", "instance_affine"])
@pytest.mark.parametrize("levels", [2, 3, 5])
def test_a_unet_gives_an_image_of_the_input_s_size(levels, norm):
    net = build(unet(4, levels, norm, "onehot", 5, (32, 64)))
    image = net(torch.randn(2, 5, 32, 96))
    assert image.shape == (2, 3, 32, 96)
    assert image.abs().max() < 1 and image.std() > 0


def test_a_unet_is_the_literature_s_written_out():
    """Down: convolution, norm but at both ends, LeakyReLU before all but the first. Up: ReLU, convolution, norm."""
    net = build(UNET).double().eval()
    x = torch.randn(2, 5, 32, 48, dtype=torch.float64)
    image, features = net(x, taps=UNET.taps)
    with torch.no_grad():
        down = [net.down[0].conv(x)]
        down.append(net.down[1].norm(net.down[1].conv(F.leaky_relu(down[0], 0.2))))
        down.append(net.down[2].conv(F.leaky_relu(down[1], 0.2)))
        up = net.up[0].norm(net.up[0].conv(down[2].relu()))
        up = net.up[1].norm(net.up[1].conv(torch.cat([down[1], up], 1).relu()))
        expected = net.image.conv(torch.cat([down[0], up], 1).relu()).tanh()
    assert torch.allclose(image, expected, atol=1e-12)
    assert list(UNET.taps) == ["down.0", "down.1", "down.2", "up.0", "up.1"] == list(features)
    for index, feature in enumerate(down):  # as they were when they were tapped
        assert torch.allclose(features[f"down.{index}"], feature, atol=1e-12)
    assert features["up.1"].shape == (2, 4, 16, 24) and torch.allclose(features["up.1"], up, atol=1e-12)
    assert (features["down.2"] < 0).any()  # before the activation


def test_a_unet_s_weights_are_named_by_level():
    names = build(UNET).state_dict()
    assert {name.rsplit(".", 1)[0] for name in names} == {
        "down.0.conv", "down.1.conv", "down.1.norm", "down.2.conv",
        "up.0.conv", "up.0.norm", "up.1.conv", "up.1.norm", "image.conv",
    }  # fmt: skip
    assert "image.conv.bias" in names and "down.0.conv.bias" not in names
    assert "down.0.conv.bias" in build(replace(UNET, norm="instance")).state_dict()


def test_a_unet_gives_the_same_image_twice_while_it_trains():
    net, x = build(replace(UNET, norm="instance")).train(), torch.randn(1, 5, 32, 32)
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("arch", [INCEPTION, RESNET, UNET], ids=["inception", "resnet", "unet"])
def test_gradients_reach_the_input_and_every_weight_and_leave_tapped_features_unharmed(arch):
    net = build(arch)
    x = torch.randn(2, 5, 32, 32, requires_grad=True)
    image, features = net(x, taps=arch.taps)
    (image.mean() + sum(value.pow(2).mean() for value in features.values())).backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in net.parameters())


def test_unknown_taps_and_sizes_are_refused():
    net = build(INCEPTION)
    with pytest.raises(ValueError, match=r"block\.3"):
        net(torch.randn(2, 5, 32, 32), taps=("stem", "block.3"))
    with pytest.raises(ValueError, match="multiples of 4"):
        net(torch.randn(2, 5, 32, 30))
    with pytest.raises(ValueError, match=r"up\.2"):
        build(UNET)(torch.randn(2, 5, 32, 32), taps=("down.0", "up.2"))
    with pytest.raises(ValueError, match="multiples of 8"):
        build(UNET)(torch.randn(2, 5, 32, 28))


def test_the_weights_names_say_kernel_and_branch():
    names = set(build(replace(INCEPTION, blocks=(Branches({"3": 2}, {"5": 1}), *INCEPTION.blocks[1:]))).state_dict())
    assert {
        n.split(".")[2] + "." + n.split(".")[3] for n in names if n.startswith("blocks.0.") and n.count(".") > 3
    } == {
        "conv.3",
        "depthwise.5",
    }
    zero, reflect = (build(replace(INCEPTION, padding=padding)) for padding in ("zero", "reflect"))
    assert list(zero.state_dict()) == list(reflect.state_dict())


def test_a_removed_residual_block_is_the_identity_and_keeps_the_others_names():
    net = build(replace(RESNET, blocks=(3, 0, 5)))
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(net.blocks[1](x), x)
    assert {name.split(".")[1] for name in net.state_dict() if name.startswith("blocks.")} == {"0", "2"}
    assert net.blocks[2].first.weight.shape == (5, 16, 3, 3) and net.blocks[2].second.weight.shape == (16, 5, 3, 3)


def test_a_block_without_branches_is_the_identity():
    block = IncResBlock(6, Branches({}, {}), "batch", "reflect")
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(block(x), x)
    assert not list(block.parameters())


def test_a_block_adds_the_norm_of_the_sum_of_its_branches():
    block = IncResBlock(6, Branches({"1": 2, "3": 3, "5": 4}, {"1": 2, "3": 3, "5": 4}), "batch", "reflect").double()
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
    branch = ConvBranch(3, 4, 3, 5, "instance", padding, bias=True).double()
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
