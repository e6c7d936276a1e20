from dataclasses import dataclass

from understudy.params.loader import require


@dataclass(frozen=True)
class Evaluate:
    """resamples: of the bootstrap behind each 95 % interval. latency_runs: timed passes, after as many warm-ups."""

    resamples: int
    latency_runs: int

    def __post_init__(self) -> None:
        require(self.resamples >= 40, "resamples", f"at least 40 for a 95 % interval, found {self.resamples}")
        require(self.latency_runs > 0, "latency_runs", f"must be positive, found {self.latency_runs}")
