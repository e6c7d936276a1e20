"""Each failure built on purpose, and generators that are merely bad, which must pass."""

import pytest
import torch
from torch.nn import functional as F

from understudy.metrics.collapse import copy_limit, domain_distance, find_collapse

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
        assert find_collapse(outputs, inputs, photos, "labels") is None


def test_output_equal_to_input(photos, inputs):
    assert "output = input" in (find_collapse(inputs, inputs, photos, "labels") or "")
    assert "output = input" in (find_collapse(noisy(inputs, 3), inputs, photos, "labels") or "")


def test_constant_output(photos, inputs):
    assert "constant output: 40 different" in (
        find_collapse(photos[:1].expand_as(photos), inputs, photos, "labels") or ""
    )


def test_one_picture_with_variations(photos, inputs):
    outputs = (photos[:1].float() * 0.95 + photos.float() * 0.05).to(torch.uint8)
    assert "mode collapse: outputs of different inputs spread" in (
        find_collapse(outputs, inputs, photos, "labels") or ""
    )


def test_a_few_pictures(photos, inputs):
    outputs = noisy(photos[torch.arange(COUNT) % 4], 2)
    assert "mode collapse: half of the outputs have a twin" in (find_collapse(outputs, inputs, photos, "labels") or "")


def test_twins_among_the_inputs_excuse_twins_among_the_outputs(photos, inputs):
    doubled = torch.arange(COUNT) // 2 * 2
    real = noisy(photos[doubled], 60)
    assert find_collapse(photos[doubled], inputs[doubled], real, "labels") is None


def test_shapes_are_checked(photos, inputs):
    with pytest.raises(ValueError, match="expected equal"):
        find_collapse(photos[:3], inputs, photos, "labels")


def striped(images: torch.Tensor) -> torch.Tensor:
    """Every fourth column darker: what a translation into the other domain adds."""
    changed = images.float()
    changed[..., ::4] *= 0.6
    return changed.to(torch.uint8)


def test_a_photo_close_to_its_input_is_no_copy_where_the_domains_are_close():
    """A tint of four grey levels: as little would be a copy of a label map's colours."""
    pictures = smooth(1, 60, 200)
    tinted = pictures + 4
    assert "output = input" in (find_collapse(tinted, pictures, tinted, "labels") or "")
    assert find_collapse(tinted, pictures, tinted, "photos") is None
    assert "output = input" in (find_collapse(pictures, pictures, tinted, "photos") or "")


def test_unpaired_photos_are_copies_below_a_share_of_what_any_translation_must_change():
    inputs, photos = smooth(1), striped(smooth(2))[:30]
    assert find_collapse(striped(inputs), inputs, photos, "unpaired") is None
    for lazy in (inputs, noisy(inputs, 1)):
        assert "output = input" in (find_collapse(lazy, inputs, photos, "unpaired") or "")
    few = striped(inputs)[torch.arange(COUNT) % 4]
    assert "twin" in (find_collapse(few, inputs, photos, "unpaired") or "")


def test_the_distance_of_two_domains_is_a_bound_that_stripes_and_colours_raise():
    inputs, others = smooth(1, 60, 200), smooth(2, 60, 200)
    near = domain_distance(inputs, others)
    assert domain_distance(inputs, inputs) == 0 and near < 0.02
    assert domain_distance(inputs, inputs + 10) == pytest.approx(10 / 255)
    changed = (striped(inputs).int() - inputs.int()).abs().float().mean().item() / 255
    assert 2 * near < domain_distance(inputs, striped(others)) < changed + near
    assert domain_distance(inputs, striped(inputs)) < changed + 1e-6
    for kind in ("photos", "unpaired"):
        assert copy_limit(inputs, 255 - inputs, kind) <= 0.02  # never more than for label maps


def test_unpaired_sizes_are_checked(photos, inputs):
    with pytest.raises(ValueError, match="expected equal"):
        find_collapse(photos, inputs, photos[:, :, :16], "unpaired")
