"""FID and KID as published: Frechet distance and kernel distance of Inception's features, with intervals.

Heusel et al. 2017, equation 6; Binkowski et al. 2018, section 4. Which network, resize and real photos is part of the
metric's name (protocol.py), and by other weights than the published ones it is not called FID.

They are scored on the resamples of the judge's metrics, so that all differences between models are paired. The training
split's real photos, where they are compared with, are what they are in every resample.
"""

from collections.abc import Sequence

from torch import Tensor

from understudy.metrics.bootstrap import Resamples
from understudy.metrics.frechet import Moments, frechet_distance
from understudy.metrics.frechet_resampled import resampled_distances
from understudy.metrics.kid import two_sample_kernel_distance
from understudy.metrics.protocol import Reference, Resize, inception_frechet, inception_kid, metric
from understudy.metrics.score import Estimate, estimate


class InceptionScorer:
    """Scores models against the same real photos by one network after one resize.

    network: its name, as protocol.inception_name gives it. real: features [M, D] of the test split's photos;
    train: those of the training split's, needed for the reference `train_test`. drawn: those of the judge's metrics.
    """

    def __init__(self, network: str, resize: Resize, real: Tensor, train: Tensor | None, drawn: Resamples) -> None:
        self._network, self._resize, self._real, self._train, self._drawn = network, resize, real, train, drawn
        test = Moments(real.shape[1]).add(real)
        self._gaussians = {"test": test.gaussian(per_dim=0)}
        if train is not None:
            self._gaussians["train_test"] = Moments(real.shape[1]).add(train).merge(test).gaussian(per_dim=0)

    def score(self, fake: Tensor, references: Sequence[Reference]) -> dict[str, Estimate]:
        """The Frechet distance to every reference, and KID where `test` is one of them and the images are not too few.

        fake: features [N, D] of what was made of the test split's inputs, in their order.
        """
        expected = [self._drawn.inputs.shape[1], self._real.shape[1]]
        if list(fake.shape) != expected:
            raise ValueError(f"expected features {expected}, found {list(fake.shape)}")
        gaussian = Moments(fake.shape[1]).add(fake).gaussian(per_dim=0)
        scores = {}
        for reference in references:
            fixed = self._train if reference == "train_test" else None
            name = inception_frechet(self._network, self._resize, reference)
            value = frechet_distance(self._gaussians[reference], gaussian)
            resampled = resampled_distances(self._real, fake, self._drawn, fixed)
            scores[name] = self._estimate(name, value, resampled)
        name = inception_kid(self._network, self._resize)
        if "test" in references and min(len(fake), len(self._real)) >= metric(name).images:
            value = two_sample_kernel_distance(self._real, fake).item()
            resampled = two_sample_kernel_distance(self._real, fake, self._drawn)
            scores[name] = self._estimate(name, value, resampled)
        return scores

    def _estimate(self, name: str, value: float, resampled: Tensor) -> Estimate:
        count = min(len(self._real), self._drawn.inputs.shape[1])
        return estimate(metric(name), value, resampled, count)
