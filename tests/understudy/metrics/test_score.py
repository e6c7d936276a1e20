"""Scoring: one look of the judge, all metrics, intervals and differences."""

import time

import pytest
import torch

from understudy.metrics import protocol
from understudy.metrics.bootstrap import resample
from understudy.metrics.score import Observation, Scorer, differences, observe
from understudy.metrics.segmentation import class_iou, confusion_matrices, mean_iou
from understudy.metrics.segmenter import Segmenter

FRECHET, KID = protocol.FRECHET["labels"], protocol.KID["labels"]
PRECISE = (protocol.MIOU, protocol.PIXEL_ACCURACY)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made_up(seed: int, count: int, dims: int, error: float) -> Observation:
    """Features around zero, and label maps of which a share of `error` pixels is read wrong."""
    labels = torch.randint(0, 4, (count, 8, 8), generator=generator(0))
    wrong = torch.rand(count, 8, 8, generator=generator(seed)) < error
    predicted = torch.where(wrong, (labels + 1) % 4, labels)
    features = torch.randn(count, dims, generator=generator(seed), dtype=torch.float64)
    return Observation(features, confusion_matrices(labels, predicted, 4, None))


def scorer_of(real: Observation, resamples: int) -> Scorer:
    return Scorer("labels", real, resample("labels", len(real), len(real), resamples, seed=0))


@pytest.fixture
def judge() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(num_classes=4, width=4, ignore=3).eval()


@pytest.fixture
def photos() -> torch.Tensor:
    return torch.randint(0, 256, (30, 3, 16, 16), generator=generator(1), dtype=torch.uint8)


def test_observation_does_not_depend_on_batches_and_counts_every_pixel(judge, photos):
    labels = torch.randint(0, 4, (30, 16, 16), generator=generator(2), dtype=torch.uint8)
    whole, parts = observe(judge, photos, labels, batch_size=30), observe(judge, photos, labels, batch_size=7)
    assert whole.features.shape == (30, 12)
    assert whole.features.dtype == torch.float64
    assert torch.allclose(whole.features, parts.features, atol=1e-6)
    assert whole.readings.sum() == (labels != 3).sum()
    assert whole.readings[:, 3].sum() == whole.readings[:, :, 3].sum() == 0


def test_edges_of_instances_are_not_scored(judge, photos):
    labels = torch.randint(0, 4, (30, 16, 16), generator=generator(2), dtype=torch.uint8)
    edges = torch.randint(0, 2, (30, 16, 16), generator=generator(3), dtype=torch.uint8)
    plain, edged = (observe(judge, photos, inputs) for inputs in (labels, torch.stack([labels, edges], dim=1)))
    assert torch.equal(plain.readings, edged.readings) and torch.equal(plain.features, edged.features)


def test_observation_refuses_a_judge_in_training_and_floats(judge, photos):
    labels = torch.zeros(30, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="expected uint8"):
        observe(judge, photos.float(), labels)
    with pytest.raises(ValueError, match="training mode"):
        observe(judge.train(), photos, labels)


def test_real_photos_against_themselves():
    real = made_up(1, 60, 8, error=0.2)
    scores = scorer_of(real, 100).score(real)
    assert set(scores) == {protocol.MIOU, protocol.PIXEL_ACCURACY, FRECHET, KID}
    assert scores[FRECHET].value == pytest.approx(0, abs=1e-9)
    assert scores[FRECHET].high == pytest.approx(0, abs=1e-9)
    assert scores[protocol.MIOU].value == scorer_of(real, 100).score_real()[protocol.MIOU].value


def test_values_are_those_of_all_images_and_lie_in_their_intervals():
    real, fake = made_up(1, 60, 8, error=0.1), made_up(2, 60, 8, error=0.4)
    scorer = scorer_of(real, 100)
    scores = scorer.score(fake)
    assert scores[protocol.MIOU].value == mean_iou(fake.readings.sum(0)).item()
    for estimate in (*scores.values(), *scorer.score_classes(fake).values()):
        assert estimate.low < estimate.value < estimate.high
        assert estimate.n == 60
        assert estimate.resampled.shape == (100,)
        assert estimate.plain() == {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": 60}


def test_perfect_reading_scores_one_with_an_interval_of_no_width():
    real = made_up(1, 60, 8, error=0)
    scores = scorer_of(real, 100).score_real()
    assert all((scores[name].low, scores[name].value, scores[name].high) == (1, 1, 1) for name in PRECISE)


def test_differences_are_paired_and_repeat():
    real, teacher, student = (made_up(seed, 60, 8, error) for seed, error in ((1, 0.1), (2, 0.3), (3, 0.4)))
    scorer = scorer_of(real, 200)
    found = differences(scorer.score(student), scorer.score(teacher))
    assert set(found) == set(scorer.score(teacher))
    assert found[protocol.MIOU].high < 0
    again = scorer_of(real, 200)
    assert differences(again.score(student), again.score(teacher)) == found
    none = differences(scorer.score(teacher), scorer.score(teacher))
    assert all((estimate.low, estimate.value, estimate.high) == (0, 0, 0) for estimate in none.values())


def test_classes_that_no_label_map_holds_are_left_out():
    real = made_up(1, 60, 8, error=0.2)
    wider = Observation(real.features, torch.nn.functional.pad(real.readings, (0, 2, 0, 2)))
    scores = scorer_of(wider, 100).score_classes(wider)
    assert sorted(scores) == [0, 1, 2, 3]
    assert scores[2].value == class_iou(real.readings.sum(0))[2].item()


def test_metrics_with_too_few_images_are_skipped_and_named():
    real = made_up(1, 15, 8, error=0.2)
    scorer = scorer_of(real, 50)
    assert scorer.skipped() == {FRECHET: 16}
    assert FRECHET not in scorer.score(made_up(2, 15, 8, error=0.2))
    assert scorer_of(made_up(1, 16, 8, error=0.2), 50).skipped() == {}
    few = scorer_of(made_up(1, 3, 8, error=0.2), 50)
    assert few.skipped() == {FRECHET: 16, KID: 4}
    assert set(few.score(made_up(2, 3, 8, error=0.2))) == {protocol.MIOU, protocol.PIXEL_ACCURACY}


def test_l1_to_teacher(photos):
    real = made_up(1, 30, 8, error=0.2)
    scorer = scorer_of(real, 100)
    assert scorer.l1_to_teacher(photos, photos).value == 0
    inverted = scorer.l1_to_teacher(255 - photos, photos)
    assert inverted.value == pytest.approx(((255 - 2 * photos.double()).abs() / 255).mean().item())
    assert inverted.low < inverted.value < inverted.high
    with pytest.raises(ValueError, match="expected 30 images"):
        scorer.l1_to_teacher(photos[:9], photos[:9])


def test_other_numbers_of_images_are_refused():
    scorer = scorer_of(made_up(1, 30, 8, error=0.2), 50)
    with pytest.raises(ValueError, match=r"expected features \[30, 8\], found \[29, 8\]"):
        scorer.score(made_up(1, 29, 8, error=0.2))


def test_every_metric_has_one_entry_and_a_minimum():
    assert len(protocol.METRICS) == len(protocol.SCORED) + len(protocol.MEASURED)
    assert protocol.METRICS[FRECHET].minimum(dims=96) == 192
    assert protocol.METRICS[KID].minimum(dims=96) == 4
    assert protocol.METRICS[protocol.MIOU].minimum(dims=96) == 1
    assert protocol.METRICS[protocol.MIOU].better == "higher"


@pytest.mark.slow
def test_three_models_of_a_thousand_images_take_seconds():
    real = made_up(1, 1000, 128, error=0.1)
    started = time.process_time()
    scorer = scorer_of(real, 200)
    for seed in (2, 3, 4):
        assert len(scorer.score(made_up(seed, 1000, 128, error=0.2))) == 4
    assert time.process_time() - started < 40  # about 8 on one core; others may be using it
