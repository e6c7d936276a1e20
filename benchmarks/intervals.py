"""What another seed may be expected to show, from those that were run."""

import math
import statistics
from collections.abc import Sequence

from scipy.stats import t


def t_interval(values: Sequence[float]) -> dict[str, float] | None:
    """The mean with Student's 95 % interval, as value, low and high; None of fewer than two values."""
    if len(values) < 2:
        return None
    mean = statistics.mean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return {"value": mean, "low": mean - half, "high": mean + half}
