"""GauGAN's generator and CAT's version of it: what they compute, written out."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from understudy.arch.branches import Branches
from understudy.arch.families import build
from understudy.arch.gaugan import GauganBlock, gaugan
from understudy.arch.spade import SpadeBlock, spade
from understudy.models.gaugan import Spade
from understudy.models.spade import IncSpade

SPADE = spade(2, 2, "onehot", 5, (64, 128))
GAUGAN = gaugan(2, "onehot", 5, (64, 128))
NONE = Branches({}, {})

both = pytest.mark.parametrize("arch", [SPADE, GAUGAN], ids=["spade", "gaugan"])


def nets_and_labels(arch):
    torch.manual_seed(0)
    return build(arch).double().eval(), torch.randn(2, 5, 64, 128, dtype=torch.float64)


def modulated(x, scale, shift):
    return F.batch_norm(x, torch.zeros(x.shape[1]).double(), torch.ones(x.shape[1]).double()) * (1 + scale) + shift


@both
def test_any_multiple_of_64_and_any_channels(arch):
    net = build(replace(arch, input_channels=3))
    image = net(torch.randn(2, 3, 192, 64))
    assert image.shape == (2, 3, 192, 64)
    assert image.abs().max() <= 1 and image.std() > 0  # in float32 tanh reaches 1
    with pytest.raises(ValueError, match="multiples of 64"):
        net(torch.randn(2, 3, 96, 64))


@both
def test_taps_are_the_outputs_of_three_blocks_before_their_maps_are_doubled(arch):
    net, labels = nets_and_labels(arch)
    image, features = net(labels, taps=("block.0", "block.2", "block.4"))
    assert torch.equal(image, net(labels))
    shapes = {name: tuple(value.shape) for name, value in features.items()}
    assert shapes == {"block.0": (2, 32, 1, 2), "block.2": (2, 32, 4, 8), "block.4": (2, 8, 16, 32)}
    with pytest.raises(ValueError, match=r"block\.7"):
        net(labels, taps=("block.7",))


@both
def test_the_path_from_the_label_map_to_the_image(arch):
    net, labels = nets_and_labels(arch)
    _, features = net(labels, taps=[f"block.{index}" for index in range(7)])
    x = net.stem.norm(net.stem.conv(F.interpolate(labels, (1, 2), mode="nearest")))
    for index in range(7):
        if index:
            x = x.repeat_interleave(2, -2).repeat_interleave(2, -1)
        x = net.blocks[index](x, F.interpolate(labels, x.shape[-2:], mode="nearest"))
        assert torch.equal(x, features[f"block.{index}"])
    assert torch.equal(net.image.conv(F.leaky_relu(x, 0.2)).tanh(), net(labels))


@pytest.mark.parametrize("index", [1, 4])
def test_cat_s_block_written_out(index):
    net, _ = nets_and_labels(SPADE)
    block = net.blocks[index]
    x, labels = torch.randn(2, (32, 16)[index == 4], 4, 8).double(), torch.randn(2, 5, 4, 8).double()
    parts = [branch(labels) for branch in (*block.spade.conv.values(), *block.spade.depthwise.values())]
    assert len(parts) == 6
    scale, shift = torch.stack(parts).sum(0).split(x.shape[1], dim=1)
    y = modulated(x, scale, shift).relu()
    conv, depthwise = block.conv["3"], block.depthwise["5"]
    expected = conv.second(F.relu(conv.norm(conv.first(y))))
    assert torch.allclose(conv(y), expected)
    spatial = depthwise.spatial_norm(depthwise.spatial(F.relu(depthwise.norm(depthwise.first(y))))).relu()
    assert torch.allclose(depthwise(y), depthwise.second(spatial))
    assert depthwise.spatial_norm.weight is None and block.spade.depthwise["5"].spatial_norm.weight is not None
    total = sum(branch(y) for branch in (*block.conv.values(), *block.depthwise.values()))
    shortcut = x if index == 1 else block.shortcut.conv(block.shortcut.norm(x))  # no activation in between
    assert torch.allclose(block(x, labels), shortcut + total, atol=1e-12)


@pytest.mark.parametrize("index", [1, 4])
def test_the_original_s_block_written_out(index):
    net, _ = nets_and_labels(GAUGAN)
    block = net.blocks[index]
    x, labels = torch.randn(2, (32, 16)[index == 4], 4, 8).double(), torch.randn(2, 5, 4, 8).double()

    def spade(part, x):
        hidden = part.spade.shared(labels).relu()
        return modulated(x, part.spade.scale(hidden), part.spade.shift(hidden))

    y = block.first.conv(F.leaky_relu(spade(block.first, x), 0.2))
    y = block.second.conv(F.leaky_relu(spade(block.second, y), 0.2))
    shortcut = x if index == 1 else block.shortcut.conv(spade(block.shortcut, x))
    assert torch.allclose(block(x, labels), shortcut + y, atol=1e-12)


def test_a_modulation_without_branches_is_the_norm_without_scales():
    x, labels = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8, 8)
    expected = nn.BatchNorm2d(4, affine=False)(x)
    assert torch.equal(IncSpade(4, 5, NONE)(x, labels), expected) and not list(IncSpade(4, 5, NONE).parameters())
    assert torch.equal(Spade(4, 5, 0)(x, labels), expected) and not list(Spade(4, 5, 0).parameters())


def test_a_block_without_branches_is_its_shortcut():
    bare = replace(SPADE, blocks=(SpadeBlock(NONE, NONE),) * 7)
    net, x, labels = build(bare), torch.randn(2, 32, 8, 8), torch.randn(2, 5, 8, 8)
    assert torch.equal(net.blocks[1](x, labels), x) and not list(net.blocks[1].parameters())
    assert torch.equal(net.blocks[3](x, labels), net.blocks[3].shortcut(x))
    original = build(replace(GAUGAN, blocks=(GauganBlock(0, 0, 0, 0),) * 7))
    assert torch.equal(original.blocks[1](x, labels), x) and not list(original.blocks[1].parameters())


def test_a_block_whose_branches_give_zero_is_the_identity():
    net, _ = nets_and_labels(SPADE)
    block = net.blocks[0]
    with torch.no_grad():
        for branch in (*block.conv.values(), *block.depthwise.values()):
            branch.second.weight.zero_()
            branch.second.bias.zero_()
    x = torch.randn(2, 32, 4, 8).double()
    assert torch.equal(block(x, torch.randn(2, 5, 4, 8).double()), x)


@both
def test_gradients_reach_the_label_map_and_every_weight_and_leave_tapped_features_unharmed(arch):
    net, labels = build(arch), torch.randn(2, 5, 64, 64, requires_grad=True)
    image, features = net(labels, taps=arch.taps)
    (image.mean() + sum(value.pow(2).mean() for value in features.values())).backward()
    assert labels.grad is not None and labels.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in net.parameters())


@both
def test_synchronised_norms_have_the_same_names_of_weights(arch):
    with torch.device("meta"):
        net, synchronised = build(arch), nn.SyncBatchNorm.convert_sync_batchnorm(build(arch))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in synchronised.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in synchronised.modules())
    assert {n: v.shape for n, v in net.state_dict().items()} == {
        n: v.shape for n, v in synchronised.state_dict().items()
    }
