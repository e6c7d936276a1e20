"""One optimiser step: who moves first, who gets a gradient from whom, and what a weight of zero saves."""

import hashlib

import pytest
import torch
from torch import nn

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.inception import inception
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.params.distill import Alignment, Directions, Distill, Relation
from understudy.params.schedule import Schedule
from understudy.train.distill import Distillation, adapters
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.one_way import OneWay
from understudy.train.state import State, linear_decay, set_learning_rate, update_average
from understudy.train.update import Batch, NoTerms, Terms, Weights

ARCH = inception(4, 3, 4, "batch", "zero", "onehot", 3, (32, 32))
WIDE = inception(6, 3, 4, "batch", "zero", "onehot", 3, (32, 32))
BOTH = Weights(gan=1.0, recon=10.0)
ONE = Directions("one")
OFF = Distill("fresh", Alignment(0.0, "global_centred"), Relation(0.0, "l2", True), 0.0, 0.0, ONE)
ALL = Distill("fresh", Alignment(1.0, "global_centred"), Relation(1.0, "l2", True), 5.0, 1.0, ONE)
fp32 = Forward()


def network(arch: Arch = ARCH, seed: int = 0) -> nn.Module:
    net = architecture.build(arch)
    init_normal(net, torch.Generator().manual_seed(seed))
    return net


def step(state: State, batch: Batch, weights: Weights, terms: Terms, forward: Forward) -> dict[str, torch.Tensor]:
    return OneWay(PIX2PIX, weights, terms)(state, batch, forward)


@pytest.fixture
def state() -> State:
    critic = PatchDiscriminator(6, 4, "batch")
    init_normal(critic, torch.Generator().manual_seed(1))
    return State.start(network(), critic, nn.ModuleDict(), 1e-3)


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(2)
    labels = torch.randint(0, 3, (2, 32, 32), generator=random)
    inputs = nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    return Batch(inputs, torch.rand(2, 3, 32, 32, generator=random) * 2 - 1)


def digest(net: nn.Module) -> str:
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in net.state_dict().values())).hexdigest()


def weights_of(net: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


def moved(net: nn.Module, before: list[torch.Tensor]) -> list[bool]:
    return [not torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True)]


class Counter:
    """Forward calls of a network."""

    def __init__(self, net: nn.Module) -> None:
        self.calls = 0
        net.register_forward_hook(self)

    def __call__(self, *_: object) -> None:
        self.calls += 1


def distillation(params: Distill, state: State, arch: Arch = WIDE, teacher: nn.Module | None = None):
    learned = adapters(params, arch.tap_widths, ARCH.tap_widths)
    state.adapters = learned
    state.optimizer_g = torch.optim.Adam([*state.generator.parameters(), *learned.parameters()], 1e-3, (0.5, 0.999))
    return Distillation(teacher or network(arch, 5), params, ARCH.taps, ARCH.middle, learned)


def test_a_step_moves_both_players_and_counts(state, batch):
    before = weights_of(state.generator), weights_of(state.discriminator)
    losses = step(state, batch, BOTH, NoTerms(), fp32)
    assert list(losses) == ["d", "recon", "gan"] and state.step == 1
    assert all(not loss.requires_grad and loss.isfinite() and loss.shape == () for loss in losses.values())
    assert all(moved(state.generator, before[0])) and any(moved(state.discriminator, before[1]))


def test_the_discriminator_moves_first_and_is_never_moved_by_the_generator_s_loss(state, batch):
    seen = []
    steps = {"d": state.optimizer_d, "g": state.optimizer_g}
    for name, optimizer in steps.items():
        optimizer.register_step_pre_hook(lambda *_, name=name: seen.append(name))
    after_d = []
    state.optimizer_d.register_step_post_hook(lambda *_: after_d.extend(weights_of(state.discriminator)))
    gradients = []
    state.optimizer_g.register_step_pre_hook(
        lambda *_: gradients.extend(p.grad.clone() for p in state.discriminator.parameters())
    )
    own = []
    state.optimizer_d.register_step_pre_hook(
        lambda *_: own.extend(p.grad.clone() for p in state.discriminator.parameters())
    )
    step(state, batch, BOTH, NoTerms(), fp32)
    assert seen == ["d", "g"]
    assert not any(moved(state.discriminator, after_d))
    # What hangs on its weights when the generator steps is what its own loss left there, and nothing more.
    assert all(torch.equal(a, b) for a, b in zip(gradients, own, strict=True))
    assert all(parameter.requires_grad for parameter in state.discriminator.parameters())


def test_the_discriminator_s_loss_gives_the_generator_no_gradient(state, batch):
    gradients = []
    state.optimizer_d.register_step_pre_hook(
        lambda *_: gradients.extend(parameter.grad for parameter in state.generator.parameters())
    )
    step(state, batch, BOTH, NoTerms(), fp32)
    assert gradients and all(gradient is None for gradient in gradients)


def test_hinge_losses_have_the_halved_and_the_plain_form(state, batch):
    """CAT, released code: logits of zero cost the discriminator (1 + 1) / 2 and the generator 0."""
    last = state.discriminator.layers.conv4
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    state.optimizer_d.param_groups[0]["lr"] = 0.0
    losses = step(state, batch, Weights(gan=3.0, recon=0.0), NoTerms(), fp32)
    assert losses["d"] == 1 and losses["gan"] == 0


def test_the_losses_are_weighted_as_they_were_optimised(state, batch):
    with torch.no_grad():
        fake = state.generator(batch.inputs)
    losses = step(state, batch, Weights(0.0, 7.0), NoTerms(), fp32)
    torch.testing.assert_close(losses["recon"], 7 * (fake - batch.photos).abs().mean())


def test_without_an_adversarial_term_the_discriminator_is_not_called(state, batch):
    critic = Counter(state.discriminator)
    before = digest(state.discriminator)
    assert list(step(state, batch, Weights(0.0, 1.0), NoTerms(), fp32)) == ["recon"]
    assert critic.calls == 0 and digest(state.discriminator) == before
    step(state, batch, BOTH, NoTerms(), fp32)
    assert critic.calls == 3  # a real pair, a fake pair, and the generator's own


def test_a_teacher_with_every_weight_at_zero_is_not_called(state, batch):
    terms = distillation(OFF, state)
    teacher = Counter(terms.teacher)
    assert terms.taps == () and not list(terms.adapters.parameters())
    assert list(step(state, batch, BOTH, terms, fp32)) == ["d", "recon", "gan"]
    assert teacher.calls == 0


def with_only(name: str) -> Distill:
    values = {"alignment": Alignment(0.0, "global_centred"), "relation": Relation(0.0, "l2", True),
              "output_weight": 0.0, "feature_weight": 0.0}  # fmt: skip
    on = {"alignment": Alignment(1.0, "global_centred"), "relation": Relation(1.0, "l2", True),
          "output_weight": 1.0, "feature_weight": 1.0}  # fmt: skip
    return Distill("fresh", cyclegan=ONE, **{**values, name: on[name]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "loss", "taps"),
    [
        ("alignment", "alignment", ARCH.taps),
        ("relation", "relation", (ARCH.middle,)),
        ("output_weight", "output", ()),
        ("feature_weight", "feature", ARCH.taps),
    ],
)
def test_each_term_alone_looks_at_no_more_than_it_needs(name, loss, taps, state, batch, monkeypatch):
    terms = distillation(with_only(name), state)
    teacher, learned = Counter(terms.teacher), Counter(terms.adapters)
    assert terms.taps == taps and bool(list(terms.adapters.parameters())) == (loss == "feature")
    others = {"alignment": "alignment_loss", "relation": "relation_loss"}
    for other, function in others.items():
        if other != loss:
            monkeypatch.setattr(f"understudy.train.distill.{function}", None)  # to call it would be an error
    before = weights_of(terms.adapters)
    losses = step(state, batch, Weights(0.0, 0.0), terms, fp32)
    assert list(losses) == [loss] and losses[loss].isfinite()
    assert teacher.calls == 1 and learned.calls == (loss == "feature")
    assert all(moved(terms.adapters, before))


def test_the_teacher_teaches_and_learns_nothing(state, batch):
    terms = distillation(ALL, state)
    before, student = digest(terms.teacher), weights_of(state.generator)
    for _ in range(2):
        losses = step(state, batch, BOTH, terms, fp32)
    assert set(losses) == {"d", "recon", "gan", "alignment", "relation", "output", "feature"}
    assert digest(terms.teacher) == before and not terms.teacher.training
    assert all(parameter.grad is None for parameter in terms.teacher.parameters())
    assert all(moved(state.generator, student))


def test_a_student_that_is_its_teacher_is_aligned_at_every_tap(state, batch):
    """CAT, kernel alignment: -1 for each of the four taps, and nothing left to learn from any other term."""
    state.generator.eval()  # as the teacher is: batch statistics would tell the two apart
    terms = distillation(ALL, state, ARCH, network())
    fake, features = state.generator(batch.inputs, taps=terms.taps)
    losses = terms(batch, fake, features, fp32)
    torch.testing.assert_close(losses["alignment"], torch.tensor(-4.0), rtol=0, atol=1e-5)
    assert losses["output"] == 0 and losses["relation"] < 1e-5


def test_the_learning_rate_is_constant_and_then_falls_to_its_last_fraction():
    """CAT, released settings: 1 / (decay + 1) at the last step."""
    factors = [linear_decay(step, 5, 4) for step in range(9)]
    assert factors[:5] == [1.0] * 5 and factors[-1] == pytest.approx(1 / 5)
    assert factors[5:] == pytest.approx([4 / 5, 3 / 5, 2 / 5, 1 / 5])
    assert [linear_decay(step, 3, 0) for step in range(3)] == [1.0] * 3
    assert linear_decay(0, 0, 1) == 0.5


def test_both_optimisers_get_the_rate_of_the_next_step(state):
    state.step = 7
    set_learning_rate(state, Schedule(5, 4, 2, 1e-3, 0.9, 10, 10, None, None))
    for optimizer in (state.optimizer_g, state.optimizer_d):
        assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(1e-3 * 2 / 5)]


def test_the_average_trails_the_generator_by_its_decay():
    net = nn.BatchNorm2d(2)
    state = State.start(net, nn.Linear(1, 1), nn.ModuleDict(), 1e-3)
    with torch.no_grad():
        net.weight.fill_(5.0)
        net.running_mean.fill_(1.0)
        net.num_batches_tracked.fill_(3)
    state.step = 10**6
    update_average(state, 0.75)
    assert torch.equal(state.average.weight, torch.full((2,), 2.0))  # 0.75 * 1 + 0.25 * 5
    assert torch.equal(state.average.running_mean, torch.full((2,), 0.25))
    assert state.average.num_batches_tracked == 3 and not state.average.training
    state.step = 2  # (1 + 2) / (10 + 2) is the smaller decay early on
    update_average(state, 0.75)
    assert torch.allclose(state.average.weight, torch.full((2,), 0.25 * 2 + 0.75 * 5))
    update_average(state, 0.0)
    assert torch.equal(state.average.weight, net.weight) and net.weight.requires_grad
    assert not state.average.weight.requires_grad


def test_a_state_comes_back_whole_with_its_optimisers(state, batch):
    for _ in range(2):
        step(state, batch, BOTH, NoTerms(), fp32)
        update_average(state, 0.9)
    tensors = {name: value.clone() for name, value in state.tensors().items()}
    kinds = {name.split(".")[0] for name in tensors}
    assert kinds == {"generator", "discriminator", "average", "optimizer_g", "optimizer_d"}
    critic = PatchDiscriminator(6, 4, "batch")
    again = State.start(network(seed=9), critic, nn.ModuleDict(), 1e-3)
    again.restore(tensors, 2)
    assert again.step == 2
    for some in (state, again):
        step(some, batch, BOTH, NoTerms(), fp32)
        update_average(some, 0.9)
    assert all(torch.equal(a, again.tensors()[name]) for name, a in state.tensors().items())


def test_a_state_of_other_networks_is_refused(state):
    wide = State.start(network(WIDE), PatchDiscriminator(6, 4, "batch"), nn.ModuleDict(), 1e-3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        wide.restore(state.tensors(), 1)
