import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Literal

from understudy.metrics.protocol import Reference, Resize
from understudy.params.loader import require, require_sha256


@dataclass(frozen=True)
class Inception:
    """Frechet distance and KID by Inception's features, beside the judge's; what is scored is in docs/metrics.md.

    weights: path (from where the stage is run, unless absolute) or https: or file: address of the network's state dict.
    sha256: of that file. That of the published file makes the metrics FID and KID by `inception2015`.
    resize, references: every combination is a metric of its own.
    """

    weights: str
    sha256: str
    resize: tuple[Resize, ...]
    references: tuple[Reference, ...]

    def __post_init__(self) -> None:
        require_sha256(self.sha256)
        for name in ("resize", "references"):
            named = getattr(self, name)
            require(len(named) > 0, name, "name at least one")
            require(len(set(named)) == len(named), name, f"names one twice: {', '.join(named)}")


@dataclass(frozen=True)
class Originals:
    """The test split's label maps as prepare.source has them: files NAME + suffix, at any depth in a folder."""

    folder: str
    suffix: str


@dataclass(frozen=True)
class Segmentation:
    """mIoU and pixel accuracy by a segmentation network of your own; what is scored is in docs/metrics.md.

    network: path (from where the stage is run, unless absolute) or https: or file: address of an ONNX file. sha256: of
    it. layout: the order of its axes. mean, std: a photo in [0, 1] enters as (photo - mean) / std, red first.
    size: height and width at which a photo enters, brought there bilinearly; null: its own.
    output: the name of the output that is read. gives: scores of the classes (logits or probabilities), or the classes.
    classes: the data's class by the network's class id; null: the data have none such.
    originals: null: label maps as prepared.
    """

    network: str
    sha256: str
    layout: Literal["NCHW", "NHWC"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: tuple[int, int] | None
    output: str
    gives: Literal["scores", "classes"]
    classes: tuple[str | None, ...]
    originals: Originals | None

    def __post_init__(self) -> None:
        require_sha256(self.sha256)
        require(all(map(math.isfinite, self.mean)), "mean", f"expected finite numbers, found {list(self.mean)}")
        positive = all(math.isfinite(value) and value > 0 for value in self.std)
        require(positive, "std", f"must be positive, found {list(self.std)}")
        require(self.size is None or min(self.size) > 0, "size", f"must be positive, found {self.size}")
        require(any(self.classes), "classes", "name at least one class of the data")

    def reading(self) -> str:
        """A digest of how the network is fed and read, less what metric names say in words."""
        named = ("network", "sha256", "size", "originals")
        told = {key: value for key, value in asdict(self).items() if key not in named}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Evaluate:
    """resamples: of the bootstrap behind each 95 % interval. latency_runs: timed passes, after as many warm-ups.

    inception, segmentation: null: nothing is scored by such a network, and nothing read or fetched.
    """

    resamples: int
    latency_runs: int
    inception: Inception | None
    segmentation: Segmentation | None

    def __post_init__(self) -> None:
        require(self.resamples >= 40, "resamples", f"at least 40 for a 95 % interval, found {self.resamples}")
        require(self.latency_runs > 0, "latency_runs", f"must be positive, found {self.latency_runs}")
