"""The metrics by name. A name is a protocol: what is compared, by which network, after which resize, on which split.

Each kind of data has a judge of its own, a network that this project trains (metrics/judge.py), and `JUDGES` names it:
`segmenter` reads the label map back from a photo, `inverter` the input photo, and `classifier` tells which of two
domains a photo is of. Its Frechet distance is no FID and compares only with others by the same judge; `noresize` says
that photos enter it at the size at which they are stored. Photos are scored from arrays, rounded to 8 bits as a file
would hold them, never through a lossy file.

Metrics by Inception's features are named `fid_inception2015_RESIZE_REFERENCE` and `kid_inception2015_RESIZE_test`, and
only with the published weights. Others of the same architecture are named by the first eight digits of their SHA-256,
`frechet_distance_inception0123abcd_...`: no number that is not an FID is called one, and two with one name were
measured by the same network. docs/metrics.md tells what each resize and reference is.

Metrics by a segmentation network of the user's are named `miou_onnx0123abcd_4567cdef_SIZE_LABELS_test`, and
`pixel_accuracy_...`: the first eight digits of the file's SHA-256, those of how it is fed and read (classes, mean and
so on), the size at which photos enter, and whether label maps are the prepared ones or the originals.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from understudy.data.terms import KINDS, Kind

JUDGES: Mapping[Kind, str] = {"labels": "segmenter", "photos": "inverter", "unpaired": "classifier"}
MIOU = "miou_segmenter_noresize_test"
PIXEL_ACCURACY = "pixel_accuracy_segmenter_noresize_test"
L1_TO_INPUT = "l1_to_input_inverter_noresize_test"
TARGET_SHARE = "target_share_classifier_noresize_test"
FRECHET: Mapping[Kind, str] = {kind: f"frechet_distance_{judge}_noresize_test" for kind, judge in JUDGES.items()}
KID: Mapping[Kind, str] = {kind: f"kid_{judge}_noresize_test" for kind, judge in JUDGES.items()}
L1_TO_TEACHER = "l1_to_teacher_test"
# Every resample of two images that holds a pair is those two again: an interval of no width. From four images on the
# interval covers what it should (tests/understudy/metrics/test_kid.py).
KID_IMAGES = 4

Resize = Literal["bilinear299", "antialias299"]  # how photos come to Inception's 299 px (resize.py)
Reference = Literal["test", "train_test"]  # the real photos: of the test split, or of the training split and it
# SHA-256 of pt_inception-2015-12-05-6726825d.pth, the TensorFlow release's weights that FID is defined by.
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PUBLISHED = "inception2015"
_BY_INCEPTION = re.compile(
    r"(fid_inception2015|frechet_distance_inception[0-9a-f]{8})_(bilinear299|antialias299)_(test|train_test)"
    r"|(kid)_inception(2015|[0-9a-f]{8})_(bilinear299|antialias299)_test"
)
Labels = Literal["prepared", "original"]  # what is compared with: label maps at the prepared size or at their own
_BY_SEGMENTATION = re.compile(
    r"(miou|pixel_accuracy)_onnx[0-9a-f]{8}_[0-9a-f]{8}_(noresize|bilinear[0-9]+x[0-9]+)_(prepared|original)_test"
)


@dataclass(frozen=True)
class Metric:
    """better: the direction. smallest, largest: what the quantity can be at all; None: no bound.

    images, images_per_dim: the least number of test images that the metric means something with is
    max(images, images_per_dim * feature dimensions).
    """

    name: str
    better: Literal["higher", "lower"]
    smallest: float | None = 0
    largest: float | None = None
    images: int = 1
    images_per_dim: int = 0

    def minimum(self, dims: int) -> int:
        """Test images needed with `dims` features."""
        return max(self.images, self.images_per_dim * dims)


# What the judge of a kind of data reads in a photo; first what it is trained for.
READINGS: Mapping[Kind, tuple[Metric, ...]] = {
    "labels": (
        # Mean IoU of what the segmenter reads in the photo with the label map.
        Metric(MIOU, "higher", largest=1),
        # Share of pixels in which it reads what the label map says.
        Metric(PIXEL_ACCURACY, "higher", largest=1),
    ),
    # Mean absolute difference of what the inverter reads in the photo to the input; from black to white is 1.
    "photos": (Metric(L1_TO_INPUT, "lower", largest=1),),
    # Share of photos that the classifier takes for photos of the target domain.
    "unpaired": (Metric(TARGET_SHARE, "higher", largest=1),),
}
# All that it scores: its readings, and two distances of its features to those of the real photos.
JUDGED: Mapping[Kind, tuple[Metric, ...]] = {
    kind: (
        *READINGS[kind],
        Metric(FRECHET[kind], "lower", images_per_dim=2),
        # Squared MMD. The unbiased estimate of a distance of zero falls below zero half of the time.
        Metric(KID[kind], "lower", smallest=None, images=KID_IMAGES),
    )
    for kind in KINDS
}
# By what a judge in training is measured, on real images of the validation split: the best has the best.
LEARNT: Mapping[Kind, Metric] = {
    "labels": READINGS["labels"][0],
    "photos": READINGS["photos"][0],
    # Mean of the shares of inputs and of photos that it takes for what they are.
    "unpaired": Metric("accuracy_classifier_noresize_test", "higher", largest=1),
}
SCORED = (
    *(metric for kind in KINDS for metric in JUDGED[kind]),
    # Mean absolute difference to the teacher's photo; from black to white is 1.
    Metric(L1_TO_TEACHER, "lower"),
)
MEASURED = (
    Metric("macs_true_g", "lower"),  # multiply-accumulates of one image, in 1e9
    Metric("macs_legacy_g", "lower"),  # the same as the papers count, transposed convolutions at output size
    Metric("params_m", "lower"),  # parameters, in 1e6
    Metric("file_mb", "lower"),  # weights on disk, in 1e6 bytes
    Metric("peak_activation_mb", "lower"),  # most memory that one image's activations take at once, in 1e6 bytes
)
METRICS = {metric.name: metric for metric in (*SCORED, *MEASURED)}


def inception_name(sha256: str) -> str:
    """What metrics by the Inception weights of this SHA-256 call their network."""
    return PUBLISHED if sha256 == PUBLISHED_SHA256 else f"inception{sha256[:8]}"


def inception_frechet(network: str, resize: Resize, reference: Reference) -> str:
    """The name of the Frechet distance by `network`, which is an `inception_name`: FID for the published one alone."""
    return f"{'fid' if network == PUBLISHED else 'frechet_distance'}_{network}_{resize}_{reference}"


def inception_kid(network: str, resize: Resize) -> str:
    """The name of KID by `network`, to the real photos of the test split."""
    return f"kid_{network}_{resize}_test"


def by_inception(name: str) -> bool:
    """Whether a name is that of a metric by Inception's features."""
    return _BY_INCEPTION.fullmatch(name) is not None


def onnx_name(sha256: str, reading: str) -> str:
    """What metrics by the ONNX file of this SHA-256 call it. reading: a digest of how it is fed and read."""
    return f"onnx{sha256[:8]}_{reading[:8]}"


def segmentation_metric(statistic: str, network: str, size: tuple[int, int] | None, labels: Labels) -> str:
    """The name of `miou` or `pixel_accuracy` by `network`, which is an `onnx_name`. size: at which photos enter."""
    entry = "noresize" if size is None else f"bilinear{size[0]}x{size[1]}"
    return f"{statistic}_{network}_{entry}_{labels}_test"


def by_segmentation(name: str) -> bool:
    """Whether a name is that of a metric by a segmentation network of the user's."""
    return _BY_SEGMENTATION.fullmatch(name) is not None


def by_named_network(name: str) -> bool:
    """Whether a metric is by a network that the parameters name, which its whole name tells."""
    return by_inception(name) or by_segmentation(name)


def find(name: str) -> Metric | None:
    """The metric of that name, or None."""
    if by_segmentation(name):
        return Metric(name, "higher", largest=1)
    if not by_inception(name):
        return METRICS.get(name)
    if name.startswith("kid_"):
        return Metric(name, "lower", smallest=None, images=KID_IMAGES)
    # Published protocols take as few images as there are: evaluate warns, and the interval tells.
    return Metric(name, "lower", images=2)


def metric(name: str) -> Metric:
    """The metric of a name that is known to be one. Raises KeyError otherwise."""
    found = find(name)
    if found is None:
        raise KeyError(name)
    return found


def fits(name: str, kind: Kind) -> bool:
    """Whether a metric can be had of data of this kind: all can, but those by another kind's judge.

    A segmentation network of the user's reads label maps, as their judge does.
    """
    if by_segmentation(name):
        return kind == "labels"
    return not any(found.name == name for other in KINDS if other != kind for found in JUDGED[other])


def on_validation(name: str) -> str:
    """What a metric of the test split is called on the validation split, where training logs it."""
    return name.removesuffix("_test") + "_val"


def of_validation(name: str) -> Metric | None:
    """The metric that `on_validation` gave that name, or None."""
    known = (*SCORED, *LEARNT.values())
    return next((found for found in known if on_validation(found.name) == name), None)


def scored(names: Iterable[str]) -> list[Metric]:
    """The metrics among `names` that are estimated from images: the judges' in the order above, then the others."""
    given = list(dict.fromkeys(names))
    judged = [found for found in SCORED if found.name in given]
    return judged + [metric(name) for name in given if by_named_network(name)]
