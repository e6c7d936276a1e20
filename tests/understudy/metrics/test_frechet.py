"""The Frechet distance against the reference of the literature, in float64, and on the inputs that break others."""

import numpy as np
import pytest
import torch
from scipy import linalg

from understudy.errors import UserError
from understudy.metrics.frechet import Gaussian, Moments, frechet_distance


def features(seed: int, count: int, dims: int) -> torch.Tensor:
    """Correlated float64 features [N, D] with a mean of their own."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dims, dims, generator=generator, dtype=torch.float64)
    return torch.randn(count, dims, generator=generator, dtype=torch.float64) @ mixing + torch.randn(
        dims, generator=generator, dtype=torch.float64
    )


def gaussian(x: torch.Tensor) -> Gaussian:
    return Moments(x.shape[1]).add(x).gaussian()


def reference(x: np.ndarray, y: np.ndarray) -> float:
    """pytorch-fid's formula with scipy's general matrix root."""
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(c1 @ c2)
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c1 + c2 - 2 * np.real(root)))


@pytest.mark.parametrize("dims", [1, 2, 24, 96])
def test_equals_the_scipy_reference(dims):
    x, y = features(0, 400, dims), features(1, 300, dims)
    expected = reference(x.numpy().reshape(400, dims), y.numpy()) if dims > 1 else (
        (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    ).item()  # fmt: skip
    assert frechet_distance(gaussian(x), gaussian(y)) == pytest.approx(expected, rel=1e-8)


def test_known_distance_of_diagonal_gaussians():
    first = Gaussian(torch.tensor([0.0, 3.0]).double(), torch.diag(torch.tensor([4.0, 9.0]).double()))
    second = Gaussian(torch.tensor([1.0, 1.0]).double(), torch.diag(torch.tensor([1.0, 25.0]).double()))
    assert frechet_distance(first, second) == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 5) ** 2, abs=1e-12)


def test_of_a_set_with_itself_is_zero_and_symmetric_otherwise():
    x, y = gaussian(features(0, 400, 96)), gaussian(features(1, 400, 96))
    assert frechet_distance(x, x) < 1e-9 * x.covariance.trace()
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)


def test_does_not_depend_on_the_order_of_images_nor_on_batches():
    x, y = features(0, 300, 16), features(1, 300, 16)
    shuffled = x[torch.randperm(300, generator=torch.Generator().manual_seed(2))]
    batches = Moments(16)
    for batch in shuffled.split(37):
        batches.add(batch)
    merged = Moments(16).add(x[:100]).merge(Moments(16).add(x[100:]))
    expected = frechet_distance(gaussian(x), gaussian(y))
    assert frechet_distance(batches.gaussian(), gaussian(y)) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(merged.gaussian(), gaussian(y)) == pytest.approx(expected, rel=1e-10)


def test_moments_equal_numpy_and_keep_their_digits_far_from_zero():
    x = features(3, 200, 8) + 1e6
    moments = Moments(8)
    for batch in x.split(23):
        moments.add(batch)
    assert torch.allclose(moments.gaussian().mean, x.mean(0), rtol=1e-14)
    assert np.allclose(moments.gaussian().covariance.numpy(), np.cov(x.numpy(), rowvar=False), rtol=1e-7)


def test_dead_features_give_a_real_number():
    x, y = features(0, 400, 12), features(1, 400, 12)
    x[:, 3] = y[:, 3] = 0  # a channel that never fires: both covariances are singular
    alive = [index for index in range(12) if index != 3]
    expected = frechet_distance(gaussian(x[:, alive]), gaussian(y[:, alive]))
    assert frechet_distance(gaussian(x), gaussian(y)) == pytest.approx(expected, rel=1e-8)


def test_too_few_images_are_refused_by_number():
    with pytest.raises(UserError, match="31 images are too few for 16 features, 32 are needed"):
        Moments(16).add(features(0, 31, 16)).gaussian()
    assert Moments(16).add(features(0, 32, 16)).gaussian().mean.shape == (16,)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_feature_that_is_not_finite_is_an_error(bad, side):
    sets = [features(0, 40, 4), features(1, 40, 4)]
    sets[side][7, 2] = bad
    with pytest.raises(UserError, match="NaN or infinite"):
        frechet_distance(gaussian(sets[0]), gaussian(sets[1]))


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"expected features \[N, 4\], found \[3, 5\]"):
        Moments(4).add(torch.zeros(3, 5))
