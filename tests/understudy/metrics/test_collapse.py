"""Each failure built on purpose, and generators that are merely bad, which must pass."""

import pytest
import torch
from torch.nn import functional as F

from understudy.metrics.collapse import find_collapse

COUNT = 40


def smooth(seed: int, low: int = 0, high: int = 256) -> torch.Tensor:
    """Random blobs, uint8 [N, 3, 32, 48]."""
    coarse = torch.randint(low, high, (COUNT, 3, 4, 6), generator=torch.Generator().manual_seed(seed)).float()
    return F.interpolate(coarse, (32, 48), mode="bilinear").round().to(torch.uint8)


@pytest.fixture
def photos() -> torch.Tensor:
    return smooth(0)


@pytest.fixture
def inputs() -> torch.Tensor:
    return smooth(1)


def noisy(images: torch.Tensor, levels: int) -> torch.Tensor:
    noise = torch.randint(-levels, levels + 1, images.shape, generator=torch.Generator().manual_seed(9))
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


def test_good_blurred_and_dull_outputs_are_not_collapsed(photos, inputs):
    blurred = F.avg_pool2d(photos.float(), 9, 1, 4).to(torch.uint8)
    dull = (photos.float() * 0.5 + 60).to(torch.uint8)
    for outputs in (photos, noisy(photos, 30), blurred, dull, smooth(2)):
        assert find_collapse(outputs, inputs, photos) is None


def test_output_equal_to_input(photos, inputs):
    assert "output = input" in (find_collapse(inputs, inputs, photos) or "")
    assert "output = input" in (find_collapse(noisy(inputs, 3), inputs, photos) or "")


def test_constant_output(photos, inputs):
    assert "constant output: 40 different" in (find_collapse(photos[:1].expand_as(photos), inputs, photos) or "")


def test_one_picture_with_variations(photos, inputs):
    outputs = (photos[:1].float() * 0.95 + photos.float() * 0.05).to(torch.uint8)
    assert "mode collapse: outputs of different label maps spread" in (find_collapse(outputs, inputs, photos) or "")


def test_a_few_pictures(photos, inputs):
    outputs = noisy(photos[torch.arange(COUNT) % 4], 2)
    assert "mode collapse: half of the outputs have a twin" in (find_collapse(outputs, inputs, photos) or "")


def test_twins_among_the_inputs_excuse_twins_among_the_outputs(photos, inputs):
    doubled = torch.arange(COUNT) // 2 * 2
    real = noisy(photos[doubled], 60)
    assert find_collapse(photos[doubled], inputs[doubled], real) is None


def test_shapes_are_checked(photos, inputs):
    with pytest.raises(ValueError, match="expected equal"):
        find_collapse(photos[:3], inputs, photos)
