"""The metrics that the benchmarks' tables show, what they are called there, and how their values are written."""

from collections.abc import Mapping
from typing import Any

from understudy.metrics.protocol import FRECHET, KID, READINGS
from understudy.report.tables import scale

HEADINGS = {  # what a metric's name begins with: (heading, decimals)
    "miou": ("mIoU", 4),
    "l1_to_input": ("L1 to the input", 4),
    "target_share": ("taken for the target", 3),
    "frechet_distance": ("Frechet distance", 4),
    "kid": ("KID x 1000", 3),
}


def metrics_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What a table of such data shows: what their judge reads, the Frechet distance, KID."""
    kind = result["kind"]
    return READINGS[kind][0].name, FRECHET[kind], KID[kind]


def heading(metric: str) -> str:
    return _shown(metric)[0]


def number(value: float, metric: str) -> str:
    """A value as the tables write it."""
    return f"{value * scale(metric):.{_shown(metric)[1]}f}"


def _shown(metric: str) -> tuple[str, int]:
    """Heading and decimals."""
    return next(shown for start, shown in HEADINGS.items() if metric.startswith(start))
