"""Translation without pairs, in both directions at once."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.params.distill import Alignment, Directions, Distill, Relation
from understudy.params.objective import Cyclegan
from understudy.train.cyclegan import CycleGan, both, pools
from understudy.train.distill import Distillation, adapters
from understudy.train.forward import Forward
from understudy.train.games import CYCLEGAN
from understudy.train.one_way import OneWay
from understudy.train.pool import ImagePool
from understudy.train.state import State, update_average
from understudy.train.update import Batch, NoTerms, Weights

ARCH = inception(4, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
WIDE = inception(6, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
PARAMS = Cyclegan(lambda_cycle=10.0, lambda_identity=0.5, pool_size=3)
TAUGHT = Distill("fresh", Alignment(1.0, "global_centred"), Relation(1.0, "l2", True), 5.0, 0.0, Directions("both"))
fp32 = Forward()


def network(seed: int, arch=ARCH) -> nn.Module:
    net = architecture.build(arch)
    init_normal(net, torch.Generator().manual_seed(seed))
    return net


def critic(seed: int) -> nn.Module:
    net = PatchDiscriminator(3, 4, "batch")
    init_normal(net, torch.Generator().manual_seed(seed))
    return net


@pytest.fixture
def state() -> State:
    torch.manual_seed(0)
    memory = pools(PARAMS.pool_size, ARCH)
    return State.start(both(network(0), network(1)), both(critic(2), critic(3)), nn.ModuleDict(), 1e-3, memory)


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(4)
    inputs, photos = (torch.rand(2, 3, 32, 32, generator=random) * 2 - 1 for _ in range(2))
    return Batch(inputs, photos)


def test_every_player_moves_and_every_loss_of_the_paper_is_there(state, batch):
    before = [value.clone() for value in (*state.generator.parameters(), *state.discriminator.parameters())]
    losses = CycleGan(PARAMS, 1.0)(state, batch, fp32)
    assert set(losses) == {f"{name}{way}" for name in ("d", "gan", "cycle", "identity") for way in ("", "_reverse")}
    assert state.step == 1 and all(loss.isfinite() and not loss.requires_grad for loss in losses.values())
    after = (*state.generator.parameters(), *state.discriminator.parameters())
    moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    assert sum(moved) > 0.9 * len(moved)  # a bias before a batch norm stays where it is


def test_the_losses_are_those_of_the_paper(state, batch):
    """Equations 1 to 3 of CycleGAN, with least squares, by hand."""
    there, back = (state.generator[name] for name in ("main", "reverse"))
    judge, judge_back = (state.discriminator[name] for name in ("main", "reverse"))
    a, b = batch.inputs, batch.photos
    with torch.no_grad():
        fake_b, fake_a = there(a), back(b)
        expected = {
            "cycle": 10 * F.l1_loss(back(fake_b), a),
            "cycle_reverse": 10 * F.l1_loss(there(fake_a), b),
            "identity": 5 * F.l1_loss(there(b), b),
            "identity_reverse": 5 * F.l1_loss(back(a), a),
            "gan": 2 * ((judge(fake_b) - 1) ** 2).mean(),
            "gan_reverse": 2 * ((judge_back(fake_a) - 1) ** 2).mean(),
            "d": 0.5 * (((judge(b) - 1) ** 2).mean() + (judge(fake_b) ** 2).mean()),
            "d_reverse": 0.5 * (((judge_back(a) - 1) ** 2).mean() + (judge_back(fake_a) ** 2).mean()),
        }
    losses = CycleGan(PARAMS, 2.0)(state, batch, fp32)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)


def test_a_discriminator_learns_from_its_own_images_alone(state, batch):
    """The forward one is shown photos, the reverse one inputs, and no generator's loss reaches either."""
    seen: dict[str, list[torch.Tensor]] = {"main": [], "reverse": []}
    for name, shown in seen.items():
        state.discriminator[name].register_forward_pre_hook(lambda _, given, shown=shown: shown.append(given[0]))
    grads = []
    state.optimizer_g.register_step_pre_hook(lambda *_: grads.extend(p.grad for p in state.discriminator.parameters()))
    CycleGan(PARAMS, 1.0)(state, batch, fp32)
    assert all(gradient is None for gradient in grads)
    assert torch.equal(seen["main"][1], batch.photos) and torch.equal(seen["reverse"][1], batch.inputs)
    assert len(seen["main"]) == len(seen["reverse"]) == 3  # the generator's fake, a real one, one of the pool


def test_running_statistics_are_those_of_the_domain_that_is_translated(state, batch):
    """The identity term shows a generator the other domain, which it never meets in use."""
    twin = State.start(both(network(0), network(1)), both(critic(2), critic(3)), nn.ModuleDict(), 1e-3,
                       pools(PARAMS.pool_size, ARCH))  # fmt: skip
    CycleGan(PARAMS, 1.0)(state, batch, fp32)
    CycleGan(Cyclegan(10.0, 0.0, 3), 1.0)(twin, batch, fp32)
    for name, value in state.generator.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(value, twin.generator.state_dict()[name])
    assert all(norm.momentum == 0.1 for norm in state.generator.modules() if isinstance(norm, nn.BatchNorm2d))


def test_without_an_adversarial_term_no_discriminator_is_called(state, batch):
    calls = []
    for name in ("main", "reverse"):
        state.discriminator[name].register_forward_hook(lambda *_: calls.append(1))
    losses = CycleGan(Cyclegan(10.0, 0.0, 0), 0.0)(state, batch, fp32)
    assert set(losses) == {"cycle", "cycle_reverse"} and not calls


def test_a_student_of_both_directions_has_a_teacher_in_each(state, batch):
    """SRPKD: the relation loss, and here every other one, on both generators, each against its own teacher."""
    terms = [
        Distillation(network(seed, WIDE), TAUGHT, ARCH.taps, ARCH.middle, adapters(TAUGHT, {}, {})) for seed in (5, 6)
    ]
    losses = CycleGan(PARAMS, 1.0, terms[0], terms[1])(state, batch, fp32)
    for name in ("alignment", "relation", "output"):
        assert losses[name].isfinite() and losses[f"{name}_reverse"].isfinite()
    with torch.no_grad():
        theirs = terms[1].teacher(batch.photos)
    fresh = both(network(0), network(1))
    expected = 5 * F.l1_loss(fresh["reverse"](batch.photos), theirs)
    torch.testing.assert_close(losses["output_reverse"], expected)


def test_cat_s_student_of_one_direction_needs_neither_cycle_nor_pair(batch):
    """CAT, released settings: least squares, the L1 distance to the teacher's output, alignment; nothing else."""
    state = State.start(network(0), critic(2), nn.ModuleDict(), 1e-3)
    terms = Distillation(network(5, WIDE), TAUGHT, ARCH.taps, ARCH.middle, adapters(TAUGHT, {}, {}))
    losses = OneWay(CYCLEGAN, Weights(1.0, 0.0), terms)(state, batch, fp32)
    assert set(losses) == {"d", "gan", "alignment", "relation", "output"}
    with torch.no_grad():
        student, judge = network(0), critic(2)
        fake = student(batch.inputs)
        expected = 0.5 * (((judge(batch.photos) - 1) ** 2).mean() + (judge(fake) ** 2).mean())
    torch.testing.assert_close(losses["d"], expected)


def test_a_state_with_pools_comes_back_whole(state, batch):
    update = CycleGan(PARAMS, 1.0)
    for _ in range(3):
        update(state, batch, fp32)
        update_average(state, 0.9)
    tensors = {name: value.clone() for name, value in state.tensors().items()}
    assert any(name.startswith("pools.reverse.") for name in tensors)
    again = State.start(both(network(7), network(8)), both(critic(9), critic(9)), nn.ModuleDict(), 1e-3,
                        pools(PARAMS.pool_size, ARCH))  # fmt: skip
    again.restore(tensors, 3)
    for some in (state, again):
        torch.manual_seed(1)
        update(some, batch, fp32)
        update_average(some, 0.9)
    assert all(torch.equal(value, again.tensors()[name]) for name, value in state.tensors().items())


def test_only_the_forward_generator_ships(state):
    assert CycleGan(PARAMS, 1.0).shipped(state.average) is state.average["main"]
    assert OneWay(CYCLEGAN, Weights(1.0, 0.0), NoTerms()).shipped(state.average) is state.average


def test_a_pool_gives_each_image_back_or_an_older_one():
    torch.manual_seed(0)
    pool = ImagePool(4, (1, 1, 1))
    images = torch.arange(200.0).view(-1, 1, 1, 1)
    shown = torch.cat([pool(part) for part in images.split(2)]).flatten()
    assert torch.equal(shown[:4], images[:4].flatten())  # until it is full
    older = shown < images.flatten()
    assert (shown <= images.flatten()).all() and 0.35 < older[4:].float().mean() < 0.65
    assert int(pool.filled) == 4 and len(set(pool.images.flatten().tolist())) == 4
    assert len(set(shown[4:].tolist())) == 196  # what leaves the pool is gone
    empty = ImagePool(0, (1, 1, 1))
    assert torch.equal(empty(images), images)
