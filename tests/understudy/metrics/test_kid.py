"""The kernel distance against its definition, written out, and its expectation."""

import itertools

import pytest
import torch

from understudy.metrics.bootstrap import Resamples, draw, interval
from understudy.metrics.kid import kernel_distance, pair_terms, two_sample_kernel_distance, weighted_kernel_distance
from understudy.metrics.protocol import KID_IMAGES


def normal(seed: int, count: int, dims: int) -> torch.Tensor:
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def test_equals_the_definition():
    x, y = normal(0, 9, 5), normal(1, 9, 5) + 0.3
    terms = [
        kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i])
        for i, j in itertools.permutations(range(9), 2)
    ]
    assert kernel_distance(x, y) == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_is_unbiased_where_the_distance_is_zero():
    values = torch.tensor([kernel_distance(normal(2 * s, 40, 8), normal(2 * s + 1, 40, 8)) for s in range(300)])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5
    assert (values < 0).float().mean() > 0.3


def test_pairs_that_resemble_each_other_do_not_look_like_equal_distributions():
    """y_i close to x_i is content kept, not likeness of the sets: on average the estimate is that of unpaired sets."""
    sets = [(normal(2 * seed, 60, 8), normal(2 * seed + 1, 60, 8)) for seed in range(200)]
    paired = torch.tensor([kernel_distance(x, 1.5 * x) for x, _ in sets])
    unpaired = torch.tensor([kernel_distance(x, 1.5 * y) for x, y in sets])
    error = ((paired.var() + unpaired.var()) / 200).sqrt()
    assert abs(paired.mean() - unpaired.mean()) < 3 * error
    with_own_pair = 2 * torch.tensor([kernel(x[0], 1.5 * x[0]) for x, _ in sets]).mean() / 60  # what is left out
    assert with_own_pair > 5 * error  # the test would see it


def test_grows_with_a_shift_and_ignores_a_common_order():
    x, y = normal(0, 100, 8), normal(1, 100, 8)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(2))
    assert kernel_distance(x, y + 0.5) > kernel_distance(x, y + 0.2) > kernel_distance(x, y)
    assert kernel_distance(x[order], y[order]) == pytest.approx(kernel_distance(x, y), rel=1e-10)


def test_weights_of_one_give_the_estimate_and_a_dropped_image_is_as_if_absent():
    x, y = normal(0, 30, 4), normal(1, 30, 4) + 0.5
    weights = torch.ones(2, 30, dtype=torch.float64)
    weights[1, 7] = 0
    kept = [index for index in range(30) if index != 7]
    found = weighted_kernel_distance(pair_terms(x, y), weights)
    assert found.tolist() == pytest.approx([kernel_distance(x, y), kernel_distance(x[kept], y[kept])], rel=1e-12)


@pytest.mark.parametrize("published", [False, True])
def test_the_fewest_images_have_an_interval_that_covers_what_is_expected(published):
    """Two have none, and of three it covers the expectation in three of four cases, or in seven of eight."""

    def own(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return normal(2 * seed, count, 48).relu(), (normal(2 * seed + 1, count, 48) + 0.3).relu()

    expectation = kernel_distance(*own(0, 4000))

    def covered(count: int) -> float:
        weights, inside = draw(count, 100, seed=0), 0
        for seed in range(1, 301):
            x, y = own(seed, count)
            if published:
                value = two_sample_kernel_distance(x, y).item()
                low, high = interval(value, two_sample_kernel_distance(x, y, Resamples(weights, weights)))
            else:
                low, high = interval(kernel_distance(x, y), weighted_kernel_distance(pair_terms(x, y), weights))
            inside += low < expectation < high
        return inside / 300

    assert covered(KID_IMAGES) > 0.9 > covered(KID_IMAGES - 1)
    assert covered(2) == 0


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="expected equal"):
        kernel_distance(torch.zeros(4, 3), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="2 or more"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(1, 3))
