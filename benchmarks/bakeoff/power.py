"""Which difference so many seeds can find: asked of the design before its results are believed."""

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t

POWER, LEVEL = 0.8, 0.05
QUANTILES = (np.arange(2000) + 0.5) / 2000  # over which the power is averaged


def detectable(deviation: float, seeds: int, tests: int = 1) -> float:
    """The mean difference that a paired t-test finds with a probability of 80 %.

    deviation: standard deviation of the difference over seeds. tests: that Holm corrects for; the bound is that of the
    first of them, 5 % / tests, which is the hardest to meet.
    """
    freedom = seeds - 1
    critical = float(t.isf(LEVEL / tests / 2, freedom))
    # What the test needs depends on the spread that it estimates, whose square is a chi-squared over its freedom.
    # (scipy's noncentral t is NaN in the tails that few seeds and many tests lead to.)
    needed = critical * np.sqrt(chi2.ppf(QUANTILES, freedom) / freedom)

    def lacking(shift: float) -> float:
        """Of the power, at a mean difference of `shift` standard errors."""
        return POWER - float(norm.cdf(shift - needed).mean())

    return float(brentq(lacking, 0.0, 4 * critical + 10)) * deviation / math.sqrt(seeds)


def pooled(groups: Iterable[Sequence[float]]) -> float | None:
    """One standard deviation for groups that differ in their mean, each weighted by its degrees of freedom.

    Groups of one say nothing; None where there are no others.
    """
    known = [values for values in groups if len(values) > 1]
    if not known:
        return None
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in known)
    return math.sqrt(squares / sum(len(values) - 1 for values in known))
