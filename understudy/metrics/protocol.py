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


SCORED = (
    # Mean IoU of what the judge reads in the photo with the label map.
    Metric(MIOU, "higher", largest=1),
    # Share of pixels in which the judge reads what the label map says.
    Metric(PIXEL_ACCURACY, "higher", largest=1),
    # Frechet distance of the judge's features to those of the real photos.
    Metric(FRECHET, "lower", images_per_dim=2),
    # Squared MMD of the same features. The unbiased estimate of a distance of zero falls below zero half of the time.
    Metric(KID, "lower", smallest=None, images=2),
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
