"""Three failures of a generator that an average can hide: it copies its input, ignores it, or knows few pictures.

A check says what is wrong in one sentence or returns None. Thresholds are far from what working generators do, since a
blurred or badly trained one is not collapsed: the metrics say how bad it is.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

COPIED = 0.02  # mean absolute difference to the input, black to white = 1: five grey levels
CONSTANT = 0.004  # root mean square deviation from the mean output: one grey level
SPREAD = 0.15  # deviation of outputs from their mean, as a share of the real photos'
NEAREST = 0.1  # median distance of an output to its nearest other one, as a share of the real photos'
GRID = 16  # side of the averaged images on which distances between images are taken


def find_collapse(outputs: Tensor, inputs: Tensor, photos: Tensor) -> str | None:
    """The first failure found, as a sentence, or None.

    outputs: what the generator made. inputs: the label maps in their palette's colours. photos: the real ones.
    All uint8 [N, 3, H, W], in the same order; the label maps are expected to differ from one another.
    """
    if not outputs.shape == inputs.shape == photos.shape or outputs.dim() != 4 or len(outputs) < 2:
        raise ValueError(f"expected equal [N, 3, H, W] with N of 2 or more, found {list(outputs.shape)}, "
                         f"{list(inputs.shape)} and {list(photos.shape)}")  # fmt: skip
    made, given, real = _coarse(outputs), _coarse(inputs), _coarse(photos)
    return _copied(outputs, inputs) or _constant(outputs) or _few(made, given, real)


def _copied(outputs: Tensor, inputs: Tensor) -> str | None:
    difference = torch.stack(
        [(a.int() - b.int()).abs().float().mean() / 255 for a, b in zip(outputs, inputs, strict=True)]
    )
    if difference.mean() >= COPIED:
        return None
    return (
        f"output = input: outputs differ from the colours of their label maps by {difference.mean():.4f} on average "
        f"(below {COPIED}); the generator learnt to copy: look at lambda_gan and lambda_recon"
    )


def _constant(outputs: Tensor) -> str | None:
    mean = outputs.float().mean(0)
    deviation = torch.stack([(image - mean).square().mean() for image in outputs]).mean().sqrt() / 255
    if deviation >= CONSTANT:
        return None
    return (
        f"constant output: {len(outputs)} different label maps give the same picture (deviation {deviation:.4f}, below "
        f"{CONSTANT}); the generator ignores its input: look for a learning rate that is too high, or dead layers"
    )


def _few(outputs: Tensor, inputs: Tensor, photos: Tensor) -> str | None:
    spread = _spread(outputs) / _spread(photos).clamp(min=1e-6)
    if spread < SPREAD:
        return (
            f"mode collapse: outputs of different label maps spread {spread:.3f} times as far as the real photos do "
            f"(below {SPREAD}); the discriminator has won or lost: look at its loss"
        )
    # A few pictures that differ much have a normal spread, but then most outputs have a twin. Twins among the inputs
    # (frames of a film) excuse as many among the outputs.
    distinct = _nearest(inputs) > NEAREST * _spread(inputs)
    if distinct.sum() < 2:
        return None
    nearest = _nearest(outputs[distinct]).median() / _nearest(photos[distinct]).median().clamp(min=1e-6)
    if nearest < NEAREST:
        return (
            f"mode collapse: half of the outputs have a twin {nearest:.3f} times as far away as that of a real photo "
            f"(below {NEAREST}); the generator makes a few pictures only: look at the discriminator's loss"
        )
    return None


def _coarse(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] -> float [N, D] in [0, 1], averaged over cells, so that noise is not taken for variety."""
    side = (min(GRID, images.shape[2]), min(GRID, images.shape[3]))
    return torch.cat([F.adaptive_avg_pool2d(some.float() / 255, side).flatten(1) for some in images.split(256)])


def _spread(images: Tensor) -> Tensor:
    """Root mean square deviation from the mean image. [N, D] -> scalar."""
    return (images - images.mean(0)).square().mean().sqrt()


def _nearest(images: Tensor) -> Tensor:
    """Root mean square difference of each image to the one most like it. [N, D] -> [N]."""
    distances = torch.cdist(images, images, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.fill_diagonal_(torch.inf).amin(1) / images.shape[1] ** 0.5
