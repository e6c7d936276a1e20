"""Every model's metrics by Inception's features: the network that was asked for, and the splits that it looks at."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from understudy.data.prepared import DatasetInfo, load_photos
from understudy.fetch import read_verified
from understudy.files import sha256
from understudy.metrics.bootstrap import Resamples
from understudy.metrics.fid import InceptionScorer
from understudy.metrics.inception import DIMS, feature_code, features, load_inception
from understudy.metrics.protocol import KID_IMAGES, PUBLISHED, Resize, inception_name
from understudy.metrics.real_features import kept_features
from understudy.metrics.score import Estimate
from understudy.params.evaluate import Inception
from understudy.runtime import threads

TIMED = 16  # images, to tell how long all will take


class InceptionScoring:
    """asked: which weights, resizes and real photos. device: where the network runs.

    Raises UserError when the weights cannot be had, or are others than those asked for.
    """

    def __init__(self, asked: Inception, device: torch.device) -> None:
        data = read_verified(asked.weights, asked.sha256, "evaluate.inception.weights")
        self._asked, self._device = asked, device
        self._net = load_inception(data, asked.weights).to(device)

    def seconds(self, info: DatasetInfo, models: int, real: bool) -> float:
        """What scoring so many models will take, intervals aside, by one batch of blank photos.

        real: whether the real photos are still to be looked at.
        """
        start = time.perf_counter()
        for _ in features(self._net, torch.zeros(TIMED, 3, *info.size, dtype=torch.uint8), "bilinear299"):
            pass
        images = info.count("test", "input") * models
        if real:
            images += info.count("test", "photo")
            images += info.count("train", "photo") if "train_test" in self._asked.references else 0
        return (time.perf_counter() - start) * len(self._asked.resize) * images / TIMED

    def score(
        self, photos: Mapping[str, Tensor], prepared: Path, info: DatasetInfo, cache: Path, drawn: Resamples
    ) -> dict[str, dict[str, Estimate]]:
        """The metrics of every model, by its name.

        photos: uint8 [N, 3, H, W] that each model made of the test split's inputs. prepared: the folder of the
        splits. cache: that of what is seen in real photos. drawn: the resamples that the judge scores on.
        """
        asked, count = self._asked, min(drawn.inputs.shape[1], drawn.photos.shape[1])
        network = inception_name(asked.sha256)
        if network != PUBLISHED:
            print(f"these are not the published Inception's weights: what follows is no FID, but by {network}")
        if count < DIMS:
            print(f"{count} test images for Inception's {DIMS} features: its Frechet distances are biased "
                  "upwards, and compare only with those of as many images; its KID is not biased")  # fmt: skip
        if "test" in asked.references and count < KID_IMAGES:
            print(f"KID by {network} left out: {count} test images, {KID_IMAGES} needed")
        scores: dict[str, dict[str, Estimate]] = {name: {} for name in photos}
        for how in asked.resize:
            print(f"scoring by {network}, {how}", flush=True)
            test = self._see_split(prepared / "test.zip", info, how, cache)
            train = None
            if "train_test" in asked.references:
                train = self._see_split(prepared / "train.zip", info, how, cache)
            scorer = InceptionScorer(network, how, test, train, drawn)
            for name, images in photos.items():
                scores[name] |= scorer.score(torch.cat(list(self._see(images, how))), asked.references)
        return scores

    def _see(self, images: Tensor, how: Resize) -> Iterable[Tensor]:
        return features(self._net, images, how)

    def _see_split(self, archive: Path, info: DatasetInfo, how: Resize, cache: Path) -> Tensor:
        """Features of a split's real photos, at the size of the models' photos."""
        origin = {"photos": sha256(archive), "weights": self._asked.sha256, "resize": how,
                  "device": str(self._device), "threads": str(threads()), "code": feature_code()}  # fmt: skip
        return kept_features(cache, origin, lambda: self._see(load_photos(archive, info), how))
