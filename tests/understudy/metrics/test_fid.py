"""FID and KID against the packages that published numbers come from, and what must not change them."""

import time

import cleanfid.fid
import cleanfid.inception_torchscript
import numpy as np
import pytest
import pytorch_fid.inception
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from pytorch_fid.fid_score import calculate_fid_given_paths, calculate_frechet_distance
from random_inception import content, pictures, state_dict
from torch import Tensor, nn

from understudy.metrics import protocol
from understudy.metrics.bootstrap import Resamples, draw, interval, resample
from understudy.metrics.fid import InceptionScorer
from understudy.metrics.frechet import Moments, frechet_distance
from understudy.metrics.frechet_resampled import resampled_distances
from understudy.metrics.inception import features, load_inception
from understudy.metrics.kid import two_sample_kernel_distance
from understudy.metrics.score import differences

COUNT = 24
FID, FID_ALL, KID = (
    "fid_inception2015_bilinear299_test",
    "fid_inception2015_bilinear299_train_test",
    "kid_inception2015_bilinear299_test",
)


def normal(seed: int, count: int, dims: int) -> Tensor:
    """Features [N, D] whose spread falls from dimension to dimension, with a mean of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dims, generator=generator) * torch.arange(1, dims + 1) ** -0.5 + 0.1 * seed


def distance(real: Tensor, fake: Tensor) -> float:
    return frechet_distance(*(Moments(x.shape[1]).add(x).gaussian(per_dim=0) for x in (real, fake)))


def scorer(real: Tensor, train: Tensor | None = None, network: str = "inception2015") -> InceptionScorer:
    return InceptionScorer(network, "bilinear299", real, train, resample("labels", len(real), len(real), 60, seed=0))


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    """Real and translated ones."""
    return pictures(0, COUNT), (pictures(1, COUNT) * 0.8).to(torch.uint8)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return load_inception(content()[0], "weights.pth")


def see(net: nn.Module, photos: Tensor, how: protocol.Resize) -> Tensor:
    return torch.cat(list(features(net, photos, how)))


@pytest.mark.slow  # half a minute, most of it the reference's matrix root
def test_fid_is_that_of_pytorch_fid(net, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state_dict())
    for name, images in zip(("real", "fake"), photos, strict=True):
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{index:03}.png")
    folders = [str(tmp_path / "real"), str(tmp_path / "fake")]
    expected = calculate_fid_given_paths(folders, 8, torch.device("cpu"), 2048, num_workers=0)
    real, fake = (see(net, images, "bilinear299") for images in photos)
    assert expected > 0.1
    assert scorer(real).score(fake, ["test"])[FID].value == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_antialiased_fid_and_kid_are_those_of_clean_fid(net, photos, monkeypatch):
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state_dict())
    reference = pytorch_fid.inception.InceptionV3(resize_input=False, normalize_input=False).eval()

    class TorchScript:
        """What clean-fid would fetch: from photos in [-1, 1] to pool3."""

        class layers:
            forward = staticmethod(lambda x: reference(x)[0])

        def eval(self):
            return self

    monkeypatch.setattr(torch.jit, "load", lambda _: TorchScript())
    model = cleanfid.inception_torchscript.InceptionV3W("", download=False)
    clean = build_resizer("clean")
    expected = []
    for images in photos:
        sized = np.stack([clean(image.permute(1, 2, 0).numpy()).transpose(2, 0, 1) for image in images])
        expected.append(cleanfid.fid.get_batch_features(torch.from_numpy(sized), model, torch.device("cpu")))
    real, fake = (see(net, images, "antialias299") for images in photos)
    assert np.abs(real.numpy() - expected[0]).max() < 1e-3
    statistics = [part for x in expected for part in (x.mean(0, dtype=np.float64), np.cov(x, rowvar=False))]
    fid = cleanfid.fid.frechet_distance(*statistics)
    kid = cleanfid.fid.kernel_distance(*(x.astype(np.float64) for x in expected), num_subsets=1)
    scores = InceptionScorer(
        "inception2015", "antialias299", real, None, resample("labels", COUNT, COUNT, 40, 0)
    ).score(fake, ["test"])
    assert scores["fid_inception2015_antialias299_test"].value == pytest.approx(fid, rel=1e-3)
    assert scores["kid_inception2015_antialias299_test"].value == pytest.approx(kid, rel=1e-3)


def test_frechet_distance_of_fewer_images_than_features_is_the_references():
    """Covariances without full rank: the general root is complex there, its real part is what is published."""
    real, fake = normal(0, 30, 100).double(), normal(1, 30, 100).double()
    statistics = [part for x in (real, fake) for part in (x.mean(0).numpy(), np.cov(x.numpy(), rowvar=False))]
    expected = calculate_frechet_distance(*statistics)
    assert distance(real, fake) == pytest.approx(expected, rel=1e-3)
    assert distance(real, real) < 1e-3
    assert distance(real, real[:1].expand(2, -1)) > 0  # of no spread at all


def test_kid_is_that_of_clean_fid_and_a_dropped_image_is_as_if_absent():
    real, fake = normal(0, 20, 50).double(), normal(1, 20, 50).double()
    weights = torch.ones(2, 20, dtype=torch.float64)
    weights[1, 3] = 0
    kept = [index for index in range(20) if index != 3]
    expected = [
        cleanfid.fid.kernel_distance(real.numpy(), fake.numpy(), num_subsets=1),
        cleanfid.fid.kernel_distance(real[kept].numpy(), fake[kept].numpy(), num_subsets=1),
    ]
    found = two_sample_kernel_distance(real, fake, Resamples(weights, weights))
    assert found.tolist() == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValueError, match=r"expected \[M, D\] and \[N, D\]"):
        two_sample_kernel_distance(real, fake[:, 1:])


@pytest.mark.parametrize("fixed", [0, 25])
@pytest.mark.parametrize("dims", [8, 100])
def test_distances_of_resamples_are_those_of_copied_images(dims, fixed):
    real, fake, others = (50 + normal(seed, count, dims) for seed, count in ((0, 20), (1, 20), (2, fixed)))
    weights = torch.cat([torch.ones(1, 20, dtype=torch.float64), draw(20, 3, seed=1)])
    found = resampled_distances(real, fake, Resamples(weights, weights), others if fixed else None)
    for drawn, value in zip(weights, found.tolist(), strict=True):
        copies = torch.repeat_interleave(torch.arange(20), drawn.long())
        assert value == pytest.approx(distance(torch.cat([real[copies], others]), fake[copies]), rel=1e-5)
    with pytest.raises(ValueError, match="expected equal"):
        resampled_distances(real, fake, Resamples(weights[:, 1:], weights))


def test_a_set_against_itself_is_zero_and_order_does_not_matter():
    real, fake, train = normal(0, 40, 64), normal(1, 40, 64), normal(2, 70, 64)
    same = scorer(real).score(real, ["test"])
    assert abs(same[FID].value) < 1e-3 and same[FID].high < 1e-3
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    found = scorer(real, train).score(fake, ["test", "train_test"])
    shuffled = scorer(real[order], train).score(fake[order], ["test", "train_test"])
    assert set(found) == {FID, FID_ALL, KID}
    for name, estimate in found.items():
        assert shuffled[name].value == pytest.approx(estimate.value, rel=1e-6)
        assert estimate.low < estimate.value < estimate.high
        assert estimate.n == 40


def test_the_training_splits_photos_count_as_if_they_were_of_one_set():
    real, fake, train = normal(0, 40, 64), normal(1, 40, 64), normal(2, 70, 64)
    found = scorer(real, train).score(fake, ["train_test"])
    assert set(found) == {FID_ALL}
    assert found[FID_ALL].value == pytest.approx(distance(torch.cat([real, train]), fake), rel=1e-6)


def test_batches_give_the_moments_of_all_at_once():
    x = normal(0, 50, 64)
    parts = Moments(64)
    for part in x.split(7):
        parts.add(part)
    assert torch.allclose(parts.gaussian(per_dim=0).covariance, torch.cov(x.double().T), atol=1e-12)


def test_differences_between_models_are_paired():
    real = normal(0, 40, 64)
    first, second = (scorer(real).score(normal(1, 40, 64) * spread, ["test"]) for spread in (1, 1.05))
    found = differences(first, second)
    assert set(found) == {FID, KID}
    apart = first[FID].high - first[FID].low + second[FID].high - second[FID].low
    assert found[FID].high - found[FID].low < apart / 2


@pytest.mark.slow
def test_intervals_of_fewer_images_than_features_hold_what_they_promise():
    """Of many test sets of the same size, 95 % or more of the intervals hold the value that is expected of one."""
    sets, count, dims, resamples = 60, 60, 256, 100
    values, differences_, intervals, between = [], [], [], []
    for seed in range(sets):
        shared, real, teacher, student = torch.randn(4, count, dims, generator=torch.Generator().manual_seed(seed))
        content = shared.double() * 0.7  # what a translation and its real photo have in common
        real, teacher, student = (
            (content + own * 0.7 * spread + shift) * torch.arange(1, dims + 1) ** -0.5
            for own, spread, shift in ((real, 1, 0), (teacher, 1.1, 0.2), (student, 1.2, 0.25))
        )
        weights = torch.cat([torch.ones(1, count, dtype=torch.float64), draw(count, resamples, seed)])
        first, second = (resampled_distances(real, fake, Resamples(weights, weights)) for fake in (student, teacher))
        for found, held, bounds in ((first, values, intervals), (first - second, differences_, between)):
            held.append(found[0].item())
            bounds.append(interval(found[0].item(), found[1:]))
    for held, bounds in ((values, intervals), (differences_, between)):
        expected = sum(held) / sets
        assert sum(low <= expected <= high for low, high in bounds) >= 0.93 * sets
        width = sum(high - low for low, high in bounds) / sets
        assert 1 < width / (4 * torch.tensor(held).std()) < 2  # not so wide that it says nothing


@pytest.mark.slow
def test_an_interval_of_a_thousand_images_takes_a_minute():
    real, fake = normal(0, 1000, 2048), normal(1, 1000, 2048)
    weights = draw(1000, 20, seed=0)
    started = time.process_time()
    resampled_distances(real, fake, Resamples(weights, weights))
    assert time.process_time() - started < 5  # about 1 on one core; others may be using it


def test_other_networks_are_not_called_fid():
    network = protocol.inception_name("0123abcd" + 56 * "0")
    assert set(scorer(normal(0, 20, 32), None, network).score(normal(1, 20, 32), ["test"])) == {
        "frechet_distance_inception0123abcd_bilinear299_test",
        "kid_inception0123abcd_bilinear299_test",
    }
    assert protocol.inception_name(protocol.PUBLISHED_SHA256) == "inception2015"
    assert protocol.inception_name("6726825d" + 56 * "0") == "inception6726825d"


def test_kid_of_too_few_images_is_left_out():
    assert set(scorer(normal(0, 3, 32), None, "inception2015").score(normal(1, 3, 32), ["test"])) == {FID}


@pytest.mark.parametrize("name", [FID, FID_ALL, KID, "frechet_distance_inception0123abcd_antialias299_train_test"])
def test_names_are_metrics(name):
    assert protocol.metric(name).better == "lower"
    assert protocol.metric(name).minimum(dims=96) == (4 if name == KID else 2)
    assert protocol.scored([name, protocol.MIOU, "params_m"]) == [protocol.metric(protocol.MIOU), protocol.metric(name)]


@pytest.mark.parametrize(
    "name",
    [
        "fid_inception0123abcd_bilinear299_test",
        "fid_inception2015_test",
        "frechet_distance_inception2015_bilinear299_test",
        "kid_inception2015_bilinear299_train_test",
        "fid_segmenter_noresize_test",
    ],
)
def test_names_that_say_too_much_or_too_little_are_none(name):
    assert protocol.find(name) is None
    with pytest.raises(KeyError):
        protocol.metric(name)


def test_other_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match=r"expected features \[20, 32\], found \[19, 32\]"):
        scorer(normal(0, 20, 32)).score(normal(1, 19, 32), ["test"])
