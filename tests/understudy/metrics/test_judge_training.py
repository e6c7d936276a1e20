"""Training the judge: the parts by hand, and the whole on pictures that a judge can learn in seconds."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from understudy.data.prepared import DatasetInfo, Split
from understudy.errors import UserError
from understudy.metrics.augmentation import crop_labels, crop_photos, window
from understudy.metrics.judge_training import Progress, one_cycle, seconds_per_step, train
from understudy.metrics.lessons import class_weights, weighted_cross_entropy
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime

INFO = DatasetInfo("blobs", "labels", (24, 24), ("a", "b", "c"), ((0, 0, 0),) * 3, 2, "CC0", {"train": 1})
FP32 = Runtime(device="cpu", precision="fp32")


def blobs(count: int, seed: int) -> Split:
    """Noisy colours by class; class 2 has the colour of class 0 and is to be ignored. Photos are 24 px."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 3, (count, 1, 3, 3), generator=generator).float()
    labels = F.interpolate(coarse, (24, 24), mode="nearest")[:, 0].to(torch.uint8)
    palette = torch.tensor([[200, 60, 60], [60, 60, 200], [200, 60, 60]])
    photos = palette[labels.long()].permute(0, 3, 1, 2)
    photos = photos + torch.randint(-50, 51, photos.shape, generator=generator)
    return Split(tuple(f"{index:04}" for index in range(count)), labels, photos.to(torch.uint8))


@pytest.mark.parametrize("steps", [1, 2, 5, 100])
def test_learning_rate_rises_then_falls_and_is_never_zero(steps):
    factors = [one_cycle(step, steps) for step in range(steps)]
    top = factors.index(max(factors))
    assert max(factors) == 1
    assert min(factors) > 0
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_class_weights_are_inverse_roots_averaging_one():
    labels = torch.tensor([0] * 90 + [1] * 10 + [3] * 50, dtype=torch.uint8).view(1, 10, 15)
    weights = class_weights(labels, 5, ignore=3)
    assert weights[1] / weights[0] == pytest.approx(3)
    assert (0.9 * weights[0] + 0.1 * weights[1]).item() == pytest.approx(1)
    assert weights[2:].tolist() == [0, 0, 0]


def test_loss_leaves_ignored_pixels_out():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 2, (2, 4, 4), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    weights = torch.tensor([1.0, 1.0, 0.0])
    expected = F.cross_entropy(logits, labels.long())
    assert weighted_cross_entropy(logits, labels, weights) == pytest.approx(expected.item())
    labels[0, 0] = 2
    kept = torch.ones(2, 4, 4, dtype=torch.bool)
    kept[0, 0] = False
    flat = logits.permute(0, 2, 3, 1)[kept]
    expected = F.cross_entropy(flat, labels[kept].long())
    assert weighted_cross_entropy(logits, labels, weights) == pytest.approx(expected.item())


def test_augmentation_keeps_photo_and_label_together():
    labels = torch.zeros(4, 32, 48, dtype=torch.uint8)
    labels[:, 10:20, 15:40] = 1
    photos = labels[:, None].expand(-1, 3, -1, -1).float() * 2 - 1
    for seed in range(20):
        part = window((32, 48), 0.7, torch.Generator().manual_seed(seed))
        changed, moved = crop_photos(photos, part), crop_labels(labels, part)
        assert changed.shape == photos.shape
        assert moved.shape == labels.shape
        grey = changed.mean(1)
        threshold = (grey.amax((1, 2)) + grey.amin((1, 2))) / 2
        assert ((grey > threshold[:, None, None]) == (moved == 1)).float().mean() > 0.97


def test_a_judge_that_diverges_is_an_error_and_never_saved():
    params = Judge(seed=5, width=2, steps=20, batch_size=2, learning_rate=1e30)
    with pytest.raises(UserError, match=r"judge: .*finite|judge: the loss is (nan|inf) at step \d+; lower"):
        train(blobs(4, 0), blobs(2, 1), INFO, params, FP32, lambda _: None)


def test_a_step_is_timed():
    params = Judge(seed=5, width=2, steps=20, batch_size=2, learning_rate=1e-3)
    assert 0 < seconds_per_step(blobs(4, 0), INFO, params, FP32) < 5


def test_a_judge_learns_nothing_of_the_edges_of_instances():
    def trained(split: Split, info: DatasetInfo) -> list[float]:
        params = Judge(seed=5, width=2, steps=3, batch_size=4, learning_rate=0.004)
        net, miou = train(split, split, info, params, FP32, lambda _: None)
        return [miou, *(value.double().sum().item() for value in net.state_dict().values())]

    plain = blobs(6, 0)
    edged = replace(plain, inputs=torch.stack([plain.inputs, plain.inputs % 2], dim=1))
    assert trained(plain, INFO) == trained(edged, replace(INFO, edges=True))


@pytest.mark.slow
def test_learns_repeats_and_keeps_the_best():
    training, validation = blobs(48, 0), blobs(16, 1)
    params = Judge(seed=5, width=8, steps=60, batch_size=8, learning_rate=0.004)
    seen: list[Progress] = []
    net, miou = train(training, validation, INFO, params, FP32, seen.append)
    assert miou > 0.9
    assert miou == max(line.score for line in seen if line.score is not None)
    assert [line.step for line in seen] == list(range(1, 61))
    assert seen[-1].score is not None
    assert seen[-1].loss < 0.5 * seen[0].loss
    assert not net.training


@pytest.mark.slow
def test_the_same_seed_gives_the_same_judge():
    training, validation = blobs(12, 0), blobs(4, 1)
    params = Judge(seed=5, width=4, steps=5, batch_size=4, learning_rate=0.004)
    (net, miou), (again, same) = (train(training, validation, INFO, params, FP32, lambda _: None) for _ in range(2))
    assert same == miou
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
