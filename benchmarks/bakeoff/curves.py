"""A training's losses, thinned to what a plot needs, and how low each of them could go."""

import csv
import statistics
from pathlib import Path

from understudy.arch import families as architecture
from understudy.train.session import CURVES

POINTS = 25


def thinned(path: Path, points: int = POINTS) -> dict[str, list[float]]:
    """The columns of a training's curves.csv, each as means over equal stretches of steps; of `step` the last of each.

    Columns that repeat another, for DVC's plots, are left out.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        records = [{name: value for name, value in row.items() if name not in CURVES} for row in csv.DictReader(stream)]
    length = -(-len(records) // points)
    stretches = [records[start : start + length] for start in range(0, len(records), length)]
    return {
        name: [int(stretch[-1][name]) if name == "step" else _mean(stretch, name) for stretch in stretches]
        for name in records[0]
    }


def lowest(arch: Path, alignment_weight: float) -> dict[str, float]:
    """What a term cannot go below, where that is not zero: alignment is -1 at each tap, times its weight."""
    return {"alignment": -alignment_weight * len(architecture.load(arch).taps)} if alignment_weight else {}


def _mean(stretch: list[dict[str, str]], name: str) -> float:
    return float(f"{statistics.fmean(float(record[name]) for record in stretch):.4g}")
