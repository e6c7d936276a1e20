from dataclasses import dataclass

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
class Evaluate:
    """resamples: of the bootstrap behind each 95 % interval. latency_runs: timed passes, after as many warm-ups.

    inception: null: nothing is scored by Inception, and nothing read or fetched.
    """

    resamples: int
    latency_runs: int
    inception: Inception | None

    def __post_init__(self) -> None:
        require(self.resamples >= 40, "resamples", f"at least 40 for a 95 % interval, found {self.resamples}")
        require(self.latency_runs > 0, "latency_runs", f"must be positive, found {self.latency_runs}")
