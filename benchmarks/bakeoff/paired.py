"""Arms compared seed by seed: paired t-tests, and Holm's correction for asking many questions of one set of results.

Holm (1979), A simple sequentially rejective multiple test procedure: of m tests the smallest p is multiplied by m, the
next by m - 1, and so on; the chance of a single false find among all of them stays at 5 %, however they depend.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t

from benchmarks.intervals import t_interval


@dataclass(frozen=True)
class Difference:
    """Of an arm less its reference. mean, low, high: Student's 95 % interval over the seeds that both have.

    values: by seed, in order. p: two-sided, of a mean difference of none, not corrected.
    """

    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    p: float


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Of two arms' values by seed; None where they share fewer than two seeds."""
    values = tuple(first[seed] - second[seed] for seed in sorted(first.keys() & second.keys()))
    interval = t_interval(values)
    if interval is None:
        return None
    mean, error = interval["value"], statistics.stdev(values) / math.sqrt(len(values))
    size = abs(mean) / error if error else 0.0 if mean == 0 else math.inf
    return Difference(values, mean, interval["low"], interval["high"], 2 * float(t.sf(size, len(values) - 1)))


def holm(ps: Sequence[float]) -> list[float]:
    """Each p corrected for all of them, in their order, at most 1."""
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = largest
    return corrected
