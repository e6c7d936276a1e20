import json

import pytest
import torch

from understudy.errors import UserError
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import STD, init_normal
from understudy.train.critic import fresh_critic, save_critic, trained_critic


def test_a_critic_comes_back_trained_or_fresh(tmp_path):
    critic = PatchDiscriminator(5, 4, "instance_affine")
    save_critic(critic, tmp_path, trained=True)
    x = torch.rand(1, 5, 24, 24)
    assert torch.equal(trained_critic(tmp_path)(x), critic(x))
    fresh = [fresh_critic(tmp_path, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(fresh[0](x), fresh[1](x)) and not torch.equal(fresh[0](x), fresh[2](x))
    assert {(net.input_channels, net.ndf, net.norm) for net in fresh} == {(5, 4, "instance_affine")}


def test_a_fresh_one_needs_no_weights(tmp_path):
    save_critic(PatchDiscriminator(5, 4, "batch"), tmp_path, trained=True)
    (tmp_path / "discriminator.safetensors").unlink()
    assert fresh_critic(tmp_path, torch.Generator()).norm == "batch"
    with pytest.raises(UserError, match=r"discriminator\.safetensors: no such file"):
        trained_critic(tmp_path)


def test_no_student_starts_from_one_that_was_never_trained(tmp_path):
    save_critic(PatchDiscriminator(5, 4, "batch"), tmp_path, trained=False)
    assert fresh_critic(tmp_path, torch.Generator()).ndf == 4
    with pytest.raises(UserError, match="set it to fresh"):
        trained_critic(tmp_path)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"schema": 1}, "unknown schema or family"),
        ({"family": "pixel"}, "unknown schema or family"),
        ({"ndf": "4"}, "not a discriminator's description"),
        ({"ndf": None}, "not a discriminator's description"),
        (None, "not a discriminator's description"),
    ],
)
def test_a_damaged_description_is_named(spoilt, message, tmp_path):
    save_critic(PatchDiscriminator(5, 4, "batch"), tmp_path, trained=True)
    path = tmp_path / "discriminator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoilt} if spoilt else []))
    with pytest.raises(UserError, match=rf"discriminator\.json: {message}.*dvc repro teacher"):
        fresh_critic(tmp_path, torch.Generator())


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
