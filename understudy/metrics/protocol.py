"""The metrics by name. A name is a protocol: what is compared, by which network, after which resize, on which split.

`judge` is this project's own network (understudy/metrics/judge.py), so its Frechet distance is no FID and compares
only with others by the same judge; `noresize` says that photos enter it at the size at which they are stored. Photos
are scored from arrays, rounded to 8 bits as a file would hold them, never through a lossy file.
"""

from dataclasses import dataclass
from typing import Literal

MIOU = "miou_judge_noresize_test"
PIXEL_ACCURACY = "pixel_accuracy_judge_noresize_test"
FRECHET = "frechet_distance_judge_noresize_test"
KID = "kid_judge_noresize_test"
L1_TO_TEACHER = "l1_to_teacher_test"


@dataclass(frozen=True)
class Metric:
    """better: the direction. unit: of the value. smallest, largest: what the quantity can be at all; None: no bound.

    images, images_per_dim: the least number of test images that the metric means something with is
    max(images, images_per_dim * feature dimensions).
    """

    name: str
    better: Literal["higher", "lower"]
    unit: str
    about: str
    smallest: float | None = 0
    largest: float | None = None
    images: int = 1
    images_per_dim: int = 0

    def minimum(self, dims: int) -> int:
        """Test images needed with `dims` features."""
        return max(self.images, self.images_per_dim * dims)


SCORED = (
    Metric(MIOU, "higher", "share", "mean IoU of what the judge reads in the photo with the label map", largest=1),
    Metric(PIXEL_ACCURACY, "higher", "share", "pixels in which the judge reads what the label map says", largest=1),
    Metric(
        FRECHET, "lower", "", "Frechet distance of the judge's features to those of the real photos", images_per_dim=2
    ),
    # The unbiased estimate of a distance of zero falls below zero half of the time.
    Metric(
        KID, "lower", "", "squared MMD of the judge's features to those of the real photos", smallest=None, images=2
    ),
    Metric(L1_TO_TEACHER, "lower", "share", "mean absolute difference to the teacher's photo, black to white = 1"),
)
MEASURED = (
    Metric("macs_true_g", "lower", "G", "multiply-accumulates of one image"),
    Metric("macs_legacy_g", "lower", "G", "the same as the papers count, transposed convolutions at output size"),
    Metric("params_m", "lower", "M", "parameters"),
    Metric("file_mb", "lower", "MB", "weights on disk"),
    Metric("peak_activation_mb", "lower", "MB", "most memory that one image's activations take at once"),
)
METRICS = {metric.name: metric for metric in (*SCORED, *MEASURED)}
