"""Scoring data of each kind, and unpaired data, whose inputs and real photos are two samples."""

import pytest
import torch
from three_kinds import drawn_info, drawn_split

from understudy.data.terms import KINDS
from understudy.metrics import protocol
from understudy.metrics.bootstrap import Resamples, draw, resample
from understudy.metrics.fid import InceptionScorer
from understudy.metrics.frechet import Moments, frechet_distance
from understudy.metrics.frechet_resampled import resampled_distances
from understudy.metrics.judge import build_judge
from understudy.metrics.kid import two_sample_kernel_distance
from understudy.metrics.score import Observation, Scorer, differences, observe, observe_real


def normal(seed: int, count: int, dims: int) -> torch.Tensor:
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen(features: torch.Tensor, share: float = 0.5) -> Observation:
    """As by a classifier that takes the first `share` of the photos for the target's."""
    taken = (torch.arange(len(features)) < share * len(features)).double()
    return Observation(features, torch.stack([taken, torch.ones(len(features))], 1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_own_metrics(kind):
    torch.manual_seed(0)
    judge, split = build_judge(drawn_info(kind), 2).eval(), drawn_split(kind, 16, 0)
    drawn = resample(kind, len(split.inputs), len(split.photos), 50, seed=0)
    scorer = Scorer(kind, observe_real(judge, split), drawn)
    scores = scorer.score(observe(judge, split.photos[:16].flip(-1), split.inputs))
    assert set(scores) == {metric.name for metric in protocol.JUDGED[kind]}
    assert all(protocol.JUDGES[kind] in name for name in scores)
    assert set(scorer.score_real()) == {metric.name for metric in protocol.READINGS[kind]}
    assert bool(scorer.score_classes(scorer.real if kind == "labels" else seen(normal(0, 16, 6)))) == (kind == "labels")
    assert all(estimate.n == 16 and estimate.low <= estimate.value <= estimate.high for estimate in scores.values())


def test_pairs_are_drawn_together_and_unpaired_images_apart():
    pairs = resample("photos", 30, 30, 20, seed=3)
    assert torch.equal(pairs.inputs, pairs.photos) and torch.equal(pairs.inputs, draw(30, 20, seed=3))
    apart = resample("unpaired", 30, 30, 20, seed=3)
    assert not torch.equal(apart.inputs, apart.photos)
    unequal = resample("unpaired", 30, 50, 20, seed=3)
    assert unequal.inputs.shape == (20, 30) and unequal.photos.shape == (20, 50) and (unequal.photos.sum(1) == 50).all()
    assert torch.equal(unequal.inputs, apart.inputs)  # whatever photos there are
    with pytest.raises(ValueError, match="are no pairs"):
        resample("labels", 30, 31, 20, seed=0)


def test_distances_of_unpaired_resamples_are_those_of_copied_images():
    real, fake, drawn = normal(0, 25, 40), normal(1, 18, 40) + 0.3, resample("unpaired", 18, 25, 3, seed=1)
    frechet, kernel = resampled_distances(real, fake, drawn), two_sample_kernel_distance(real, fake, drawn)
    for index in range(3):
        photos = torch.repeat_interleave(torch.arange(25), drawn.photos[index].long())
        inputs = torch.repeat_interleave(torch.arange(18), drawn.inputs[index].long())
        gaussians = [Moments(40).add(x).gaussian(per_dim=0) for x in (real[photos], fake[inputs])]
        assert frechet[index].item() == pytest.approx(frechet_distance(*gaussians), rel=1e-5)
        # Copies of one image are no pair.
        terms = [(x @ x.T / 40 + 1) ** 3 for x in (real[photos], fake[inputs])]
        apart = [ids[:, None] != ids[None, :] for ids in (photos, inputs)]
        within = sum(term[mask].mean() for term, mask in zip(terms, apart, strict=True))
        across = ((real[photos] @ fake[inputs].T / 40 + 1) ** 3).mean()
        assert kernel[index].item() == pytest.approx((within - 2 * across).item(), rel=1e-9)


def test_unpaired_kernel_distance_is_unbiased_where_sets_are_alike():
    drawn = [two_sample_kernel_distance(normal(2 * s, 40, 8), normal(2 * s + 1, 25, 8)).item() for s in range(300)]
    values = torch.tensor(drawn)
    assert abs(values.mean()) < 3 * values.std() / 300**0.5


def test_unpaired_differences_are_paired_over_the_inputs():
    real, made = seen(normal(0, 90, 4)), normal(1, 60, 4)
    drawn = resample("unpaired", 60, 90, 200, seed=0)
    scorer = Scorer("unpaired", real, drawn)
    one, two = scorer.score(seen(made + 0.30, 0.6)), scorer.score(seen(made + 0.35, 0.5))
    name = protocol.FRECHET["unpaired"]
    found = differences(two, one)
    assert found[name].low > 0
    assert found[name].high - found[name].low < 0.5 * (one[name].high - one[name].low)
    # On resamples drawn for each model by itself the difference could not be told.
    apart = scorer_of(real, 60, seed=1).score(seen(made + 0.35, 0.5))
    assert differences(apart, one)[name].low < 0
    assert one[protocol.TARGET_SHARE].value == 0.6 and one[protocol.TARGET_SHARE].n == 60
    assert scorer.score_real()[protocol.TARGET_SHARE].n == 90


def scorer_of(real: Observation, inputs: int, seed: int = 0) -> Scorer:
    return Scorer("unpaired", real, resample("unpaired", inputs, len(real), 200, seed))


def test_the_smaller_of_two_sets_decides_what_is_skipped():
    name = protocol.FRECHET["unpaired"]
    assert scorer_of(seen(normal(0, 90, 8)), 15).skipped() == {name: 16}
    assert scorer_of(seen(normal(0, 15, 8)), 90).skipped() == {name: 16}
    assert scorer_of(seen(normal(0, 16, 8)), 90).skipped() == {}
    with pytest.raises(ValueError, match=r"expected features \[15, 8\], found \[90, 8\]"):
        scorer_of(seen(normal(0, 90, 8)), 15).score(seen(normal(0, 90, 8)))
    with pytest.raises(ValueError, match="90 real photos, resamples of 80"):
        Scorer("unpaired", seen(normal(0, 90, 8)), resample("unpaired", 15, 80, 10, seed=0))


def test_inception_scores_unpaired_photos():
    real, drawn = normal(0, 30, 16).float(), resample("unpaired", 20, 30, 60, seed=0)
    scorer = InceptionScorer("inception2015", "bilinear299", real, None, drawn)
    scores = scorer.score(normal(1, 20, 16).float(), ["test"])
    assert all(estimate.n == 20 and estimate.low < estimate.value < estimate.high for estimate in scores.values())
    with pytest.raises(ValueError, match=r"expected features \[20, 16\], found \[30, 16\]"):
        scorer.score(real, ["test"])


def test_resamples_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected equal"):
        resampled_distances(normal(0, 9, 4), normal(1, 8, 4), Resamples(torch.ones(2, 9), torch.ones(2, 9)))


def test_names_of_one_kind_do_not_fit_another():
    assert protocol.fits(protocol.L1_TO_TEACHER, "unpaired") and protocol.fits("macs_true_g", "photos")
    assert protocol.fits(protocol.MIOU, "labels") and not protocol.fits(protocol.MIOU, "photos")
    for kind in KINDS:
        for found in protocol.JUDGED[kind]:
            assert protocol.of_validation(protocol.on_validation(found.name)) == found
    assert protocol.of_validation("accuracy_classifier_noresize_val").better == "higher"
    assert protocol.of_validation("selection") is None
