"""Three failures of a generator that an average can hide: it copies its input, ignores it, or knows few pictures.

A check says what is wrong in one sentence or returns None. Thresholds are far from what working generators do, since a
blurred or badly trained one is not collapsed: the metrics say how bad it is.

What is a copy depends on the data. No photo is close to the flat colours of a label map, but a good photo of a zebra is
close to that of the horse that it was made from. So photos are copies where they differ from their inputs by less than
a share of how far the real domains are apart. Of pairs that distance is simply measured. Of unpaired photos the least
that it can be is: whatever map makes inputs into photos of the target domain, it also makes the distribution of the
inputs' values into theirs, and moving one distribution of numbers into another takes at least their Wasserstein
distance on average. The same holds of the differences between neighbouring pixels, which stripes and snow change and
colour does not; a pixel is in two of them, hence half of that distance. The largest of the bounds counts.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.data.terms import Kind

COPIED = 0.02  # mean absolute difference to the input, black to white = 1: five grey levels
COPIED_SHARE = 0.25  # the same for photos, as a share of how far the domains are apart; never more than COPIED
CONSTANT = 0.004  # root mean square deviation from the mean output: one grey level
SPREAD = 0.15  # deviation of outputs from their mean, as a share of the real photos'
NEAREST = 0.1  # median distance of an output to its nearest other one, as a share of the real photos'
GRID = 16  # side of the averaged images on which distances between images are taken
LEVELS = 256  # of a pixel


def find_collapse(outputs: Tensor, inputs: Tensor, photos: Tensor, kind: Kind) -> str | None:
    """The first failure found, as a sentence, or None.

    outputs: what the generator made. inputs: as pictures, label maps in their palette's colours, in the same order.
    photos: the real ones, in the same order where they are pairs. All uint8 [N, 3, H, W], unpaired photos [M, 3, H, W];
    the inputs are expected to differ from one another.
    """
    fitting = photos.shape[1:] == inputs.shape[1:] if kind == "unpaired" else photos.shape == inputs.shape
    if not (outputs.shape == inputs.shape and fitting) or outputs.dim() != 4 or min(len(outputs), len(photos)) < 2:
        raise ValueError(f"expected equal [N, 3, H, W] with N of 2 or more, found {list(outputs.shape)}, "
                         f"{list(inputs.shape)} and {list(photos.shape)}")  # fmt: skip
    made, given, real = _coarse(outputs), _coarse(inputs), _coarse(photos)
    limit = copy_limit(inputs, photos, kind)
    return _copied(outputs, inputs, limit) or _constant(outputs) or _few(made, given, real, kind != "unpaired")


def copy_limit(inputs: Tensor, photos: Tensor, kind: Kind) -> float:
    """Below which mean absolute difference to its input an output is a copy; black to white is 1."""
    if kind == "labels":
        return COPIED
    apart = domain_distance(inputs, photos) if kind == "unpaired" else _difference(inputs, photos)
    return min(COPIED, COPIED_SHARE * apart)


def domain_distance(inputs: Tensor, photos: Tensor) -> float:
    """The least mean absolute change of a pixel's value by any map from one domain to the other; 1 is black to white.

    inputs: uint8 [N, 3, H, W]; photos: [M, 3, H, W]. Of samples: two halves of one domain are not quite at 0.
    """
    bounds = []
    for channel in range(3):
        a, b = inputs[:, channel].int(), photos[:, channel].int()  # [N, H, W], [M, H, W]
        edges = [_wasserstein(a.diff(dim=axis), b.diff(dim=axis), LEVELS - 1) / 2 for axis in (1, 2)]
        bounds.append(max(_wasserstein(a, b, 0), *edges))
    return sum(bounds) / len(bounds) / (LEVELS - 1)


def _wasserstein(a: Tensor, b: Tensor, offset: int) -> float:
    """Of two sets of integers from -offset: the area between their cumulative distributions."""
    counts = [torch.bincount(values.flatten() + offset, minlength=2 * LEVELS).double() for values in (a, b)]
    first, second = (count.cumsum(0) / count.sum() for count in counts)
    return (first - second).abs().sum().item()


def _difference(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference of uint8 images, image by image; black to white is 1."""
    return (
        torch.stack([(x.int() - y.int()).abs().float().mean() / 255 for x, y in zip(a, b, strict=True)]).mean().item()
    )


def _copied(outputs: Tensor, inputs: Tensor, limit: float) -> str | None:
    difference = _difference(outputs, inputs)
    if difference >= limit:
        return None
    return (
        f"output = input: outputs differ from their inputs (label maps: from their colours) by {difference:.4f} on "
        f"average (below {limit:.4f}); the generator learnt to copy: look at the weights of its losses"
    )


def _constant(outputs: Tensor) -> str | None:
    mean = outputs.float().mean(0)
    deviation = torch.stack([(image - mean).square().mean() for image in outputs]).mean().sqrt() / 255
    if deviation >= CONSTANT:
        return None
    return (
        f"constant output: {len(outputs)} different inputs give the same picture (deviation {deviation:.4f}, below "
        f"{CONSTANT}); the generator ignores its input: look for a learning rate that is too high, or dead layers"
    )


def _few(outputs: Tensor, inputs: Tensor, photos: Tensor, paired: bool) -> str | None:
    spread = _spread(outputs) / _spread(photos).clamp(min=1e-6)
    if spread < SPREAD:
        return (
            f"mode collapse: outputs of different inputs spread {spread:.3f} times as far as the real photos do "
            f"(below {SPREAD}); the discriminator has won or lost: look at its loss"
        )
    # A few pictures that differ much have a normal spread, but then most outputs have a twin. Twins among the inputs
    # (frames of a film) excuse as many among the outputs.
    distinct = _nearest(inputs) > NEAREST * _spread(inputs)
    if distinct.sum() < 2:
        return None
    beside = photos[distinct] if paired else photos
    nearest = _nearest(outputs[distinct]).median() / _nearest(beside).median().clamp(min=1e-6)
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
