"""What judges are for, on drawn data: real photos score best, not blurred or noisy ones, nor inputs."""

import pytest
import torch
from three_kinds import drawn_info, drawn_split
from torch.nn import functional as F

from understudy.data.prepared import show_inputs
from understudy.data.terms import KINDS
from understudy.metrics import protocol
from understudy.metrics.bootstrap import resample
from understudy.metrics.judge_training import train
from understudy.metrics.score import Scorer, observe, observe_real
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime

TEST = 48


def blurred(photos: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(photos.float(), 5, 1, 2, count_include_pad=False).to(torch.uint8)


def noisy(photos: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(photos.shape, generator=torch.Generator().manual_seed(0))
    return (photos.float() + 60 * noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_real_photos_score_best(kind):
    info = drawn_info(kind)
    training, validation, test = (drawn_split(kind, count, seed) for count, seed in ((64, 10), (16, 20), (TEST, 30)))
    steps = 300 if kind == "unpaired" else 150  # half as many are a draw, which another processor may lose
    params = Judge(seed=1, width=8, steps=steps, batch_size=8, learning_rate=0.004)
    judge, learnt = train(training, validation, info, params, Runtime("cpu", "fp32"), lambda _: None)
    assert learnt < 0.1 if kind == "photos" else learnt > 0.8
    scorer = Scorer(kind, observe_real(judge, test), resample(kind, TEST, len(test.photos), 40, seed=0))
    real, inputs = test.photos[:TEST], show_inputs(test.inputs, info)
    images = {"real": real, "blurred": blurred(real), "noisy": noisy(real), "inputs": inputs}
    scores = {name: scorer.score(observe(judge, some, test.inputs)) for name, some in images.items()}
    for worse in ("blurred", "noisy", "inputs"):
        for metric in (protocol.FRECHET[kind], protocol.KID[kind]):
            assert scores[worse][metric].value > scores["real"][metric].value + 1e-3, (worse, metric)
    # What it reads: another photo's input is not read in a photo, and inputs are not taken for the target domain.
    reading = protocol.READINGS[kind][0]
    other = inputs if kind == "unpaired" else real.roll(1, 0)
    wrong = scorer.score(observe(judge, other, test.inputs))
    better = scores["real"][reading.name].value - wrong[reading.name].value
    assert (better if reading.better == "higher" else -better) > 0.05
