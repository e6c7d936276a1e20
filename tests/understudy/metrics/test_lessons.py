"""What a classifier of two domains learns from: measured in its batches, on images in which each change shows."""

import pytest
import torch
from torch import Tensor

from understudy.data.prepared import DatasetInfo, Split
from understudy.metrics.augmentation import blur_or_noise
from understudy.metrics.lessons import STRONG_BLUR, STRONG_NOISE, Classifying, Inverting

SIZE = (64, 64)
INFO = DatasetInfo("stripes", "unpaired", SIZE, (), (), None, "CC0", {"train": 1})


def stripes(count: int) -> Tensor:
    """Black and white, 8 pixels wide, upright: uint8 [N, 3, 64, 64]."""
    row = (torch.arange(64) // 8 % 2 * 255).to(torch.uint8)
    return row.expand(count, 3, *SIZE).contiguous()


def flat(count: int, grey: int) -> Tensor:
    return torch.full((count, 3, *SIZE), grey, dtype=torch.uint8)


def lessons(kind: type[Classifying] | type[Inverting], inputs: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
    """What 30 batches of 16 teach: photos [480, 3, 64, 64] and their targets."""
    names = tuple(f"{index:04}" for index in range(len(inputs)))
    lesson = kind(Split(names, inputs, photos), INFO, 16, seed=3)
    batches = [lesson.batch(index) for index in range(30)]
    return torch.cat([photos for photos, _ in batches]), torch.cat([targets for _, targets in batches])


def profiles(photos: Tensor) -> Tensor:
    """Mean of rows and channels, in which little is left of noise: [N, 3, H, W] -> [N, W]."""
    return photos.mean(dim=(1, 2))


def edges(photos: Tensor) -> Tensor:
    """How many borders of stripes each photo still has: [N]."""
    profile = profiles(photos)
    middle = (profile.amax(1) + profile.amin(1)) / 2
    return ((profile > middle[:, None]).int().diff(dim=1) != 0).sum(1)


def noisy(photos: Tensor) -> Tensor:
    """Rows of stripes are alike, whatever else is done to them: bool [N]."""
    return photos.std(dim=2).amax(dim=(1, 2)) > 1e-4


def blurred(photos: Tensor) -> Tensor:
    """A crop that is enlarged up to twice leaves two pixels at most between black and white: bool [N], of no noise."""
    profile = profiles(photos)
    low, high = profile.amin(1, keepdim=True), profile.amax(1, keepdim=True)
    share = (profile - low) / (high - low)
    between = ((share > 1e-4) & (share < 1 - 1e-4)).sum(1)
    return (between > 2 * edges(photos)) & ~noisy(photos)


@pytest.mark.parametrize(("inputs", "photos"), [(3, 50), (50, 3), (1, 1)])
def test_a_classifiers_batch_has_as_many_of_each_domain_whatever_there_are(inputs, photos):
    seen, targets = lessons(Classifying, flat(inputs, 40), flat(photos, 215))
    assert all(batch.sum() == 8 for batch in targets.split(16))
    assert torch.equal(seen.mean(dim=(1, 2, 3)) > 0, targets == 1)  # no change of brightness reaches this far


def test_a_classifier_sees_stronger_changes_of_colour_than_a_judge_of_pairs():
    def spread(kind: type[Classifying] | type[Inverting]) -> tuple[float, float, float]:
        """Of brightness, of colour balance and of contrast: standard deviations over photos."""
        colours = lessons(kind, flat(20, 128), flat(20, 128))[0].mean(dim=(2, 3))  # [N, 3, H, W] -> [N, 3]
        profile = profiles(lessons(kind, stripes(20), stripes(20))[0])
        contrast = profile.amax(1) - profile.amin(1)
        balance = colours - colours.mean(1, keepdim=True)
        return colours.mean(1).std().item(), balance.std().item(), contrast.std().item()

    for strong, weak in zip(spread(Classifying), spread(Inverting), strict=True):
        assert strong > 1.5 * weak > 0


def test_a_classifier_sees_smaller_parts_than_a_judge_of_pairs():
    few, more = (edges(lessons(kind, stripes(20), stripes(20))[0]).amin() for kind in (Classifying, Inverting))
    assert few <= 4 < 5 <= more  # of 7: half of the width, or seven tenths of it


def test_a_third_of_what_a_classifier_sees_is_blurred_and_a_third_noisy():
    photos, targets = lessons(Classifying, stripes(20), stripes(20))
    for domain in (targets == 0, targets == 1):
        noise, blur = noisy(photos[domain]), blurred(photos[domain])
        assert 0.25 < noise.float().mean() < 0.42
        assert 0.2 < blur.float().mean() < 0.38  # the weakest fifth of them cannot be told from none
        assert 0.25 < (~noise & ~blur).float().mean() < 0.5


def test_a_judge_of_pairs_sees_neither_blur_nor_noise():
    photos, _ = lessons(Inverting, stripes(20), stripes(20))
    assert not noisy(photos).any() and not blurred(photos).any()


def test_blur_and_noise_are_as_strong_as_they_are_said_to_be():
    grey = torch.zeros(900, 3, 32, 32)
    deviations = blur_or_noise(grey, STRONG_BLUR, STRONG_NOISE, torch.Generator().manual_seed(0)).std(dim=(1, 2, 3))
    found = deviations[deviations > 1e-6]
    assert 260 < len(found) < 340 and 0.9 * STRONG_NOISE < found.max() < 1.05 * STRONG_NOISE
    point = torch.zeros(900, 3, 33, 33)
    point[:, :, 16, 16] = 1  # its image is the Gaussian: the variance along a row is its own
    images = blur_or_noise(point, STRONG_BLUR, 0.0, torch.Generator().manual_seed(0))[:, 0].sum(1)  # -> [N, W]
    spread = (images * (torch.arange(33) - 16).square()).sum(1).sqrt()
    assert torch.allclose(images.sum(1), torch.ones(900))
    assert 230 < (spread > 1e-3).sum() < 340 and 0.9 * STRONG_BLUR < spread.max() < 1.05 * STRONG_BLUR
