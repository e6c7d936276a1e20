import json

import pytest
import torch

from understudy.arch import families as architecture
from understudy.arch.resnet import resnet
from understudy.errors import UserError
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import STD, init_normal
from understudy.models.multi_scale import MultiScaleDiscriminator
from understudy.train.partners import Partners, load_partners, read_description, save_partners

ARCH = resnet(4, 3, "instance", "zero", "rgb", 3, (32, 32))


@pytest.mark.parametrize(
    "critic", [PatchDiscriminator(5, 4, "instance_affine"), MultiScaleDiscriminator(5, 4)], ids=["patch", "scales"]
)
def test_a_critic_comes_back_as_it_was(critic, tmp_path):
    save_partners(Partners(critic), tmp_path)
    loaded = load_partners(tmp_path, ARCH)
    assert loaded.trained and loaded.reverse is None and loaded.reverse_critic is None
    assert type(loaded.critic) is type(critic)
    for name, value in critic.state_dict().items():
        assert torch.equal(value, loaded.critic.state_dict()[name])


def test_the_other_direction_comes_with_it(tmp_path):
    critics, reverse = [PatchDiscriminator(3, 4, "batch") for _ in range(2)], architecture.build(ARCH)
    save_partners(Partners(critics[0], critics[1], reverse), tmp_path)
    loaded = load_partners(tmp_path, ARCH)
    x = torch.rand(1, 3, 32, 32)
    assert loaded.reverse is not None and loaded.reverse_critic is not None
    assert torch.equal(loaded.reverse(x), reverse(x))
    assert torch.equal(loaded.reverse_critic.eval()(x), critics[1].eval()(x))
    with pytest.raises(UserError, match=r"partners\.safetensors: damaged, or not of the architecture"):
        load_partners(tmp_path, resnet(5, 3, "instance", "zero", "rgb", 3, (32, 32)))


def test_a_fresh_one_needs_no_weights(tmp_path):
    save_partners(Partners(PatchDiscriminator(5, 4, "batch"), trained=False), tmp_path)
    (tmp_path / "partners.safetensors").unlink()
    description = read_description(tmp_path / "partners.json")
    critic = description.critic.build()
    assert isinstance(critic, PatchDiscriminator)
    assert (critic.input_channels, critic.ndf, critic.norm) == (5, 4, "batch")
    assert not description.trained
    with pytest.raises(UserError, match=r"partners\.safetensors: no such file"):
        load_partners(tmp_path, ARCH)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"schema": 2}, "schema 2, this version reads 3"),
        (None, "schema None, this version reads 3"),
        ({"trained": "yes"}, "trained: expected bool, found 'yes'"),
        ({"critic": {"family": "pixel", "input_channels": 5, "ndf": 4, "norm": None}}, "expected one of patch"),
        ({"critic": {"family": "patch", "input_channels": 5, "ndf": "4", "norm": "batch"}}, "ndf: expected int"),
        ({"critic": {"family": "patch", "input_channels": 5, "ndf": 0, "norm": "batch"}}, "ndf: from 1 to 65536"),
        ({"critic": {"family": "patch", "input_channels": 5, "ndf": 4, "norm": None}}, "norm: does not belong"),
    ],
)
def test_a_damaged_description_is_named(spoilt, message, tmp_path):
    save_partners(Partners(PatchDiscriminator(5, 4, "batch")), tmp_path)
    path = tmp_path / "partners.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoilt} if spoilt else []))
    with pytest.raises(UserError, match=rf"partners\.json: .*{message}") as caught:
        read_description(path)
    assert "dvc repro teacher" in str(caught.value)


def test_initial_weights_are_those_of_the_papers():
    """Initial weights are N(0, 0.02) (CAT, released code), from a stream of their own."""
    generator = torch.Generator().manual_seed(0)
    batch, instance = PatchDiscriminator(3, 64, "batch"), PatchDiscriminator(3, 64, "instance_affine")
    for net in (batch, instance):
        init_normal(net, generator)
        weight = net.layers.conv3.weight
        assert abs(weight.std() - STD) < 1e-4 and abs(weight.mean()) < 1e-4
        assert not net.layers.conv0.bias.any() and not net.layers.norm3.bias.any()
    scales = batch.layers.norm3.weight
    assert abs(scales.mean() - 1) < 0.005 and abs(scales.std() - STD) < 0.005
    assert torch.equal(instance.layers.norm3.weight, torch.ones(512))
