"""The bootstrap on data whose answer is known: do its 95 % intervals hold what they should, and are they no wider?"""

import pytest
import torch

from understudy.metrics import protocol
from understudy.metrics.bootstrap import draw, interval, resample
from understudy.metrics.score import Observation, Scorer, difference

FRECHET, KID = protocol.FRECHET["labels"], protocol.KID["labels"]

NO_PIXELS = torch.ones(1, 1, 1, dtype=torch.int64)


def observation(features: torch.Tensor) -> Observation:
    return Observation(features, NO_PIXELS.expand(len(features), 1, 1))


def scorer_of(real: torch.Tensor, seed: int) -> Scorer:
    return Scorer("labels", observation(real), resample("labels", len(real), len(real), 200, seed))


def normal(generator: torch.Generator, count: int, dims: int) -> torch.Tensor:
    return torch.randn(count, dims, generator=generator, dtype=torch.float64)


def test_draws_are_resamples_and_repeat():
    weights = draw(50, 400, seed=3)
    assert weights.shape == (400, 50)
    assert (weights.sum(1) == 50).all()
    assert weights.mean(0).min() > 0.7
    assert weights.mean(0).max() < 1.3
    assert torch.equal(weights, draw(50, 400, seed=3))
    assert not torch.equal(weights, draw(50, 400, seed=4))


def test_interval_of_a_mean_is_the_textbook_one():
    x = normal(torch.Generator().manual_seed(0), 500, 1)[:, 0]
    low, high = interval(x.mean().item(), draw(500, 4000, 1) @ x / 500)
    half = 1.96 * (x.std() / 500**0.5).item()
    assert (low, high) == pytest.approx((x.mean().item() - half, x.mean().item() + half), abs=0.1 * half)


def test_interval_is_moved_back_by_the_bias_of_resampling_and_leaves_nan_out():
    resampled = torch.cat([torch.linspace(9, 11, 2001), torch.tensor([torch.nan])]).double()
    assert interval(7.0, resampled) == pytest.approx((6.05, 7.95), abs=1e-6)


@pytest.mark.slow
def test_frechet_interval_covers_the_expected_value_and_without_correction_would_not():
    """N(0, 1) against N(0.2, 1.2^2) in each of 12 dimensions, n = 100: 12 (0.2^2 + 0.2^2) = 0.96 in truth."""
    generator, trials = torch.Generator().manual_seed(0), 80
    estimates = []
    for trial in range(trials):
        real, fake = normal(generator, 100, 12), 1.2 * normal(generator, 100, 12) + 0.2
        estimates.append(scorer_of(real, trial).score(observation(fake))[FRECHET])
    expected = sum(estimate.value for estimate in estimates) / trials
    assert expected > 0.96 + 0.1  # the excess that every distance of 100 images has
    covered = [estimate.low <= expected <= estimate.high for estimate in estimates]
    assert sum(covered) / trials >= 0.9
    naive = [torch.quantile(e.resampled, 0.025) <= expected <= torch.quantile(e.resampled, 0.975) for e in estimates]
    assert sum(naive) / trials < 0.6
    spread = torch.tensor([estimate.value for estimate in estimates]).std().item()
    width = sum(estimate.high - estimate.low for estimate in estimates) / trials
    # Wider than need be, as duplicates also raise the variance, but not so wide as to say nothing.
    assert 0.9 < width / (2 * 1.96 * spread) < 1.7


@pytest.mark.slow
def test_frechet_and_kernel_distance_cover_the_truth_where_images_are_many():
    generator, trials, held = torch.Generator().manual_seed(1), 60, {FRECHET: 0, KID: 0}
    # E k(x, x') of independent normals with common mean m and D = 2 is a polynomial: (1 + s)^3 with s = x.x' / 2.
    big = [normal(generator, 200_000, 2) + shift for shift in (0, 0, 0.5, 0.5)]
    same = ((big[0] * big[1]).sum(1) / 2 + 1).pow(3).mean() + ((big[2] * big[3]).sum(1) / 2 + 1).pow(3).mean()
    truth = {FRECHET: 2 * 0.5**2, KID: (same - 2 * ((big[0] * big[2]).sum(1) / 2 + 1).pow(3).mean()).item()}
    for trial in range(trials):
        scorer = scorer_of(normal(generator, 600, 2), trial)
        scores = scorer.score(observation(normal(generator, 600, 2) + 0.5))
        for name in held:
            held[name] += scores[name].low <= truth[name] <= scores[name].high
    assert all(count / trials >= 0.85 for count in held.values()), held


def test_a_difference_has_a_narrower_interval_than_the_models_that_share_its_images():
    generator = torch.Generator().manual_seed(2)
    real = normal(generator, 200, 6)
    made = real + 0.5 * normal(generator, 200, 6)
    scorer = scorer_of(real, 0)
    one = scorer.score(observation(made + 0.30))[FRECHET]
    two = scorer.score(observation(made + 0.35))[FRECHET]
    between = difference(two, one)
    assert between.value == pytest.approx(two.value - one.value)
    assert between.low <= between.value <= between.high
    assert between.high - between.low < 0.5 * (one.high - one.low)
    assert between.low > 0
