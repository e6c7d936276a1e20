"""GauGAN's game: discriminators at two scales, feature matching, perceptual loss, two rates."""

import hashlib

import pytest
import torch
from safetensors.torch import save
from torch import nn
from torchvision.models import vgg19

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.errors import UserError
from understudy.losses.feature_matching import feature_matching
from understudy.losses.perceptual import VggDistance
from understudy.models.multi_scale import MultiScaleDiscriminator
from understudy.params.objective import Cyclegan, Gaugan, Objective, Perceptual
from understudy.params.schedule import Schedule
from understudy.train.forward import Forward
from understudy.train.games import CYCLEGAN, PIX2PIX, ScalesGame, game
from understudy.train.one_way import OneWay
from understudy.train.state import State, set_learning_rate
from understudy.train.update import Batch, NoTerms, Weights

ARCH = inception(4, 3, 4, "batch", "zero", "onehot", 3, (32, 32))
UNUSED = Cyclegan(10.0, 0.5, 50)
fp32 = Forward()


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32) * 2 - 1)


def started(playing: ScalesGame, learning_rate: float = 1e-3) -> State:
    generator, critic = architecture.build(ARCH), playing.critic(ARCH, 4)
    playing.initialise(generator, torch.Generator().manual_seed(0))
    playing.initialise(critic, torch.Generator().manual_seed(1))
    return State.start(generator, critic, nn.ModuleDict(), learning_rate, rates=playing.rates)


def test_each_family_has_its_game():
    assert game(Objective("pix2pix", UNUSED, Gaugan(10.0, None))) is PIX2PIX
    assert game(Objective("cyclegan", UNUSED, Gaugan(10.0, None))) is CYCLEGAN
    found = game(Objective("gaugan", UNUSED, Gaugan(3.0, None)))
    assert isinstance(found, ScalesGame) and found.lambda_feature == 3.0 and found.perceptual is None
    assert isinstance(found.critic(ARCH, 4), MultiScaleDiscriminator)
    assert PIX2PIX.critic(ARCH, 4).input_channels == 6 and CYCLEGAN.critic(ARCH, 4).input_channels == 3


def test_the_losses_are_those_of_the_paper(batch):
    """SPADE, appendix A: hinge averaged over scales, not halved; feature matching against the photo."""
    playing = ScalesGame(lambda_feature=10.0)
    state = started(playing)
    fake = state.generator(batch.inputs).detach()
    last = [scale.layers[-1] for scale in state.discriminator.scales]
    with torch.no_grad():
        for layer, bias in zip(last, (-5.0, -1.0), strict=True):
            layer.bias.fill_(bias)  # logits that tell a mean over scales from a sum, and a sign from the other
        for _ in range(100):  # spectral norm estimates the largest singular value anew at each pass: let it settle
            state.discriminator(torch.cat([batch.inputs, fake], 1))
    real_maps = state.discriminator(torch.cat([batch.inputs, batch.photos], 1))
    fake_maps = state.discriminator(torch.cat([batch.inputs, fake], 1))
    gan = sum(-scale[-1].mean() for scale in fake_maps) / 2
    assert 2 < gan < 4
    matching = 10 * feature_matching(real_maps, fake_maps)
    losses = OneWay(playing, Weights(2.0, 0.0), NoTerms())(state, batch, fp32)
    assert list(losses) == ["d", "gan", "feature_matching"]
    torch.testing.assert_close(losses["gan"], 2 * gan.detach(), rtol=1e-3, atol=0)
    torch.testing.assert_close(losses["feature_matching"], matching.detach(), rtol=1e-3, atol=0)
    for layer in last:
        nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    state.optimizer_g.param_groups[0]["lr"] = 0.0
    assert OneWay(playing, Weights(1.0, 0.0), NoTerms())(state, batch, fp32)["d"] == 2  # zeros cost 1 + 1


def test_the_generator_moves_first_and_the_discriminator_four_times_as_fast(batch):
    state = started(ScalesGame(10.0))
    seen = []
    for name, optimizer in (("g", state.optimizer_g), ("d", state.optimizer_d)):
        optimizer.register_step_pre_hook(lambda *_, name=name: seen.append(name))
    set_learning_rate(state, Schedule(10, 0, 2, 2e-4, 0.0, 10, 10, None, None))
    OneWay(ScalesGame(10.0), Weights(1.0, 0.0), NoTerms())(state, batch, fp32)
    assert seen == ["g", "d"]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in (state.optimizer_g, state.optimizer_d)]
    assert rates == pytest.approx([1e-4, 4e-4])
    assert all(o.param_groups[0]["betas"] == (0.0, 0.9) for o in (state.optimizer_g, state.optimizer_d))


def test_the_perceptual_term_is_a_distance_by_five_layers(batch):
    torch.manual_seed(0)
    features = vgg19(weights=None).features
    distance = VggDistance(features)
    assert distance(batch.photos, batch.photos) == 0
    fake = batch.photos.flip(0).requires_grad_()
    value = distance(fake, batch.photos)
    value.backward()
    assert value > 0 and fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in distance.parameters())
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected, layers = 0.0, {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}
    x, y = ((images.detach() / 2 + 0.5 - mean) / std for images in (fake, batch.photos))
    for index, part in enumerate(features[:30]):
        x, y = part(x.clone()), part(y.clone())
        expected += layers.get(index, 0) * (x - y).abs().mean()
    torch.testing.assert_close(value.detach(), expected)


def test_vgg_comes_from_a_file_of_known_hash(batch, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = vgg19(weights=None)
    content = save({name: value for name, value in net.state_dict().items() if name.startswith("features.")})
    path = tmp_path / "vgg.safetensors"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    playing = game(Objective("gaugan", UNUSED, Gaugan(10.0, Perceptual(str(path), digest, 7.0))))
    assert isinstance(playing, ScalesGame)
    losses = OneWay(playing, Weights(1.0, 0.0), NoTerms())(started(playing), batch, fp32)
    assert list(losses) == ["d", "gan", "feature_matching", "perceptual"] and losses["perceptual"] > 0
    with pytest.raises(UserError, match=r"objective\.gaugan\.perceptual\.sha256: .*SHA-256"):
        game(Objective("gaugan", UNUSED, Gaugan(10.0, Perceptual(str(path), "0" * 64, 7.0))))
    other = save({"features.0.weight": torch.zeros(1)})
    path.write_bytes(other)
    with pytest.raises(UserError, match="not the state dict of torchvision's vgg19"):
        game(Objective("gaugan", UNUSED, Gaugan(10.0, Perceptual(str(path), hashlib.sha256(other).hexdigest(), 7.0))))
