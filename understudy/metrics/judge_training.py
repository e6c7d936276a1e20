"""Training the judge on real pairs: what a plain recipe needs to be strong within about a minute on two CPU cores.

AdamW under a one-cycle learning rate (Smith and Topin 2018), cross-entropy weighted by the inverse square root of
class frequency (poles and people count, noise in rare classes does not dominate), averaged weights, and augmentation
of geometry and colour, so that the judge reads content and not the exposure. Kept are the weights best on validation
pairs.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy import runtime as machine
from understudy.data.prepared import Split, batch_indices, class_plane, mirror, to_unit
from understudy.errors import UserError
from understudy.metrics.judge import JudgeNet, predict
from understudy.metrics.segmentation import confusion_matrices, mean_iou
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime

AVERAGING = 0.98  # decay of the averaged weights a step: a memory of some 50 steps
WARM_UP = 0.2  # share of the steps in which the learning rate rises
VALIDATIONS = 8  # scores on the validation split, evenly spaced
WEIGHT_DECAY = 0.02
SMALLEST_CROP = 0.7  # of height and width
TIMED_STEPS = 3
CONTRAST, BRIGHTNESS, COLOUR = 0.25, 0.2, 0.08  # largest changes of a photo in [-1, 1]: a factor less 1, and offsets


@dataclass(frozen=True)
class Progress:
    """One line of progress. step: of steps. loss: of that step. rate: photos a second. left: seconds to the end.

    miou: on the validation split, at the steps that score it.
    """

    step: int
    steps: int
    loss: float
    rate: float
    left: float
    miou: float | None


class Training:
    """A judge in training on one split, from its seed: `step` by step."""

    def __init__(self, pairs: Split, num_classes: int, ignore: int | None, params: Judge, runtime: Runtime) -> None:
        """Seeds torch's global generators with `params.seed`."""
        machine.seed_everything(params.seed)
        self.pairs, self.params, self.runtime = pairs, params, runtime
        self.labels = class_plane(pairs.inputs)
        self.device = machine.device(runtime)
        self.net = JudgeNet(num_classes, params.width).to(self.device).train()
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), params.learning_rate, weight_decay=WEIGHT_DECAY)
        self.weights = class_weights(self.labels, num_classes, ignore).to(self.device)
        self.generator = torch.Generator().manual_seed(params.seed)

    def step(self, index: int) -> float:
        """Take step `index` (from 0) and return its loss. Raises UserError when that is not finite."""
        params = self.params
        indices, flips = batch_indices(len(self.pairs), params.batch_size, params.seed, index)
        photos, labels = mirror(self.pairs.photos[indices], flips), mirror(self.labels[indices], flips)
        photos, labels = augment(to_unit(photos), labels, self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = params.learning_rate * one_cycle(index, params.steps)
        self.optimizer.zero_grad()
        with machine.autocast(self.runtime, self.device):
            logits = self.net(photos.to(self.device))
        loss = weighted_cross_entropy(logits.float(), labels.to(self.device), self.weights)
        if not math.isfinite(value := loss.item()):
            raise UserError(f"judge: the loss is {value} at step {index + 1}; lower judge.learning_rate")
        loss.backward()
        self.optimizer.step()
        update_average(self.average, self.net, min(AVERAGING, (1 + index) / (10 + index)))
        return value


def train(
    training: Split,
    validation: Split,
    num_classes: int,
    ignore: int | None,
    params: Judge,
    runtime: Runtime,
    progress: Callable[[Progress], None],
) -> tuple[JudgeNet, float]:
    """The judge with the best mIoU on `validation`, in eval mode on the CPU, and that mIoU.

    Deterministic for a seed, a machine and a number of threads. Raises UserError when training diverges.
    """
    judge = Training(training, num_classes, ignore, params, runtime)
    validate_at = {params.steps * (index + 1) // VALIDATIONS for index in range(VALIDATIONS)}
    best, best_state, started = -1.0, judge.net.state_dict(), time.monotonic()
    for step in range(params.steps):
        loss = judge.step(step)
        miou = None
        if step + 1 in validate_at:
            miou = validate(judge.average, validation, ignore, params.batch_size, runtime)
            if miou > best:
                best, best_state = miou, copy.deepcopy(judge.average.state_dict())
        seconds = (time.monotonic() - started) / (step + 1)
        progress(Progress(step + 1, params.steps, loss, params.batch_size / seconds,
                          seconds * (params.steps - step - 1), miou))  # fmt: skip
    # The loss of a step says nothing of the update that follows it.
    if not all(value.isfinite().all() for value in best_state.values()):
        raise UserError("judge: weights that are not finite after training; lower judge.learning_rate")
    judge.average.load_state_dict(best_state)
    return judge.average.cpu(), best


def seconds_per_step(
    pairs: Split, num_classes: int, ignore: int | None, params: Judge, runtime: Runtime
) -> float:  # fmt: skip
    """What a step of training takes here, by a few steps of a judge that is thrown away."""
    judge = Training(pairs, num_classes, ignore, params, runtime)
    judge.step(0)  # the first step pays for set-up
    started = time.perf_counter()
    for index in range(TIMED_STEPS):
        judge.step(index)
    return (time.perf_counter() - started) / TIMED_STEPS


def one_cycle(step: int, steps: int) -> float:
    """Factor on the learning rate at `step` (from 0): a linear rise to 1, then half a cosine that ends just above 0."""
    rise = max(round(WARM_UP * steps), 1)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1))) / 2


def class_weights(labels: Tensor, num_classes: int, ignore: int | None) -> Tensor:
    """Weights float32 [K] in proportion to frequency ** -0.5, 1 on average over pixels; 0 where absent or ignored."""
    counts = torch.bincount(labels.flatten().long(), minlength=num_classes).float()
    if ignore is not None and ignore < num_classes:
        counts[ignore] = 0
    weights = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0)
    return weights * counts.sum() / (weights * counts).sum().clamp(min=1e-12)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over pixels of -log p(class). logits: [N, K, H, W]; labels: [N, H, W]; weights: [K], 0 ignores."""
    # Flat, because the two-dimensional kernel has no deterministic form on a GPU.
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2)  # [N, K, H, W] -> [NHW, K]
    return F.cross_entropy(flat, labels.flatten().long(), weights)


def augment(photos: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One random crop for the batch, resized back, and for each photo its own brightness, contrast and colour balance.

    photos: float [N, 3, H, W] in [-1, 1]; labels: uint8 [N, H, W]. Returns the same shapes; photos are not clipped.
    """
    count, _, height, width = photos.shape
    scale, top, left = torch.rand(3, generator=generator).tolist()
    scale = SMALLEST_CROP + (1 - SMALLEST_CROP) * scale
    h, w = max(round(height * scale), 1), max(round(width * scale), 1)
    rows, columns = _from(top, h, height), _from(left, w, width)
    photos = F.interpolate(photos[:, :, rows, columns], (height, width), mode="bilinear", align_corners=False)
    cropped = labels[:, None, rows, columns]
    labels = F.interpolate(cropped, (height, width), mode="nearest-exact")[:, 0]  # [N, 1, h, w] -> [N, H, W]
    mean = photos.mean(dim=(1, 2, 3), keepdim=True)
    contrast = 1 + CONTRAST * _spread(generator, count, 1)
    colour = COLOUR * _spread(generator, count, 3)
    brightness = BRIGHTNESS * _spread(generator, count, 1)
    return (photos - mean) * contrast + mean + brightness + colour, labels


def _from(position: float, size: int, full: int) -> slice:
    start = min(int(position * (full - size + 1)), full - size)
    return slice(start, start + size)


def _spread(generator: torch.Generator, count: int, channels: int) -> Tensor:
    """Uniform in [-1, 1), [N, C, 1, 1]."""
    return torch.rand((count, channels, 1, 1), generator=generator) * 2 - 1


@torch.no_grad()
def update_average(average: JudgeNet, net: JudgeNet, decay: float) -> None:
    """Move the averaged weights and running statistics towards the network's."""
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:  # the count of batches that normalisation has seen
            mean.copy_(value)


@torch.no_grad()
def validate(net: JudgeNet, pairs: Split, ignore: int | None, batch_size: int, runtime: Runtime) -> float:
    """mIoU of `net` on real pairs, in the precision of training."""
    device = next(net.parameters()).device
    total = torch.zeros(net.num_classes, net.num_classes, dtype=torch.int64)
    for photos, labels in zip(pairs.photos.split(batch_size), class_plane(pairs.inputs).split(batch_size), strict=True):
        with machine.autocast(runtime, device):
            logits = net(to_unit(photos).to(device))
        total += confusion_matrices(labels, predict(logits, ignore).cpu(), net.num_classes, ignore).sum(0)
    return mean_iou(total).item()
