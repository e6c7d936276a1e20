"""A run's tables: quality, differences, cost and verdict, as plain cells that a terminal, Markdown or a page shows.

Kept apart from grid.py, which training stages import: rewording a table must not retrain a network.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from understudy.graph import NETWORKS
from understudy.metrics.protocol import JUDGES, MEASURED, by_named_network, metric, scored
from understudy.verdict import Verdict, counts, ordered

MODELS = tuple(NETWORKS)
PAIRS = {"student - teacher": "student_minus_teacher", "student - baseline": "student_minus_baseline"}
# What the names of the judged metrics share, said once above the table.
PROTOCOLS = tuple(f"_{judge}_noresize_test" for judge in JUDGES.values())
COSTS = {
    "macs_true_g": "MACs, true (G)",
    "macs_legacy_g": "MACs, legacy (G)",
    "params_m": "parameters (M)",
    "file_mb": "weights file (MB)",
    "peak_activation_mb": "peak activations (MB)",
}
Estimate = Mapping[str, Any]
# What Markdown would not read as text. A backslash by its number: before another escape it would undo it.
ESCAPES = {"&": "&amp;", "<": "&lt;", "\\": "&#92;", "|": "\\|", "`": "\\`", "[": "\\[", "*": "\\*"}


@dataclass(frozen=True)
class Table:
    """header and rows: one cell for each column; the first column names the row. notes: lines below the table."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Aligned columns: names to the left, numbers to the right."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [self.title]
        for row in (self.header, *self.rows):
            numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            lines.append("  ".join(("", row[0].ljust(widths[0]), *numbers)).rstrip())
        return "\n".join((*lines, *(f"  {note}" for note in self.notes)))

    def markdown(self) -> str:
        """A bold title and a table. Text from data, such as a class called `a|b`, cannot break out of its cell."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        header, *rows = (tuple(map(markdown_text, row)) for row in (self.header, *self.rows))
        lines = [f"**{markdown_text(self.title)}**", ""]
        lines += [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
        return "\n".join((*lines, *chain.from_iterable(("", markdown_text(note)) for note in self.notes)))


def tables(evaluation: Mapping[str, Any], latency: Mapping[str, Any] | None) -> list[Table]:
    """Quality, differences and cost of one run.

    evaluation: the content of artifacts/evaluate/evaluation.json. latency: that of .understudy/evaluate/latency.json,
    or None where nothing was timed; left out when it is of other networks (DVC restores an evaluation that it has seen
    before, while latencies stay those of the last run). Raises KeyError, TypeError or AttributeError when they are
    something else.
    """
    timed = (latency or {}).get("files") or {}  # path -> SHA-256 of the weights
    current = latency if timed and timed.items() <= evaluation["files"].items() else None
    return [_quality(evaluation), _differences(evaluation), _cost(evaluation, current)]


def _quality(evaluation: Mapping[str, Any]) -> Table:
    models = evaluation["models"]
    count = max((entry.get("n", 0) for model in models.values() for entry in model.values()), default=0)
    names = [found.name for found in scored(chain.from_iterable(models[model] for model in MODELS))]
    rows = tuple(
        (_scaled(name), *(estimate(models[model].get(name), scale(name)) for model in MODELS), _arrow(name))
        for name in names
    )
    best = ", ".join(f"{label(name)} {estimate(entry)}" for name, entry in models.get("real", {}).items())
    notes = [f"real photos: {best}"] if best else []
    notes += [f"{model} collapsed: {message}" for model, message in evaluation["collapse"].items() if message]
    photos = f"{count:,} {evaluation['split']} photos of {evaluation['dataset']}"
    protocol = f"by the run's own {JUDGES[evaluation['kind']]}, not resized" + (
        ", or as named" if any(map(by_named_network, names)) else ""
    )
    title = f"Quality on {photos}, {protocol}; 95 % intervals"
    return Table(title, ("", *MODELS, "better"), rows, tuple(notes))


def _differences(evaluation: Mapping[str, Any]) -> Table:
    differences = evaluation["differences"]
    rows = tuple(
        (_scaled(name), *(reading(name, differences[key].get(name)) for key in PAIRS.values()))
        for name in (found.name for found in scored(chain.from_iterable(differences[key] for key in PAIRS.values())))
    )
    return Table("Differences, resampling the same photos for both; 95 % intervals", ("", *PAIRS), rows)


def _cost(evaluation: Mapping[str, Any], latency: Mapping[str, Any] | None) -> Table:
    models = evaluation["models"]
    rows = [
        _cost_row(COSTS[found.name], [models[model].get(found.name, {}).get("value") for model in MODELS])
        for found in MEASURED
    ]
    notes: tuple[str, ...] = (
        "latency: these networks are not timed on this machine; `dvc repro -sf evaluate` times them",
    )
    if latency is not None:
        timed = [latency["models"].get(model, {}) for model in MODELS]
        rows.append(_cost_row("median latency (ms)", [entry.get("median_ms") for entry in timed]))
        runs = max(entry.get("runs", 0) for entry in timed)
        notes = (
            f"latency: one image, {runs} passes on this machine's {latency['device']}, {latency['threads']} threads",
        )
    return Table("Cost", ("", *MODELS, "teacher / student"), tuple(rows), notes)


def _cost_row(name: str, values: Sequence[float | None]) -> tuple[str, ...]:
    teacher, student = values[:2]
    ratio = f"{teacher / student:.1f}x" if teacher is not None and student else "-"
    return (name, *map(_number, values), ratio)


def estimate(entry: Estimate | None, scale: float = 1) -> str:
    """`value [low, high]`, times `scale`, with as many decimals as the interval supports."""
    if not entry or entry.get("value") is None:
        return "-"
    value = entry["value"] * scale
    if entry.get("low") is None or entry.get("high") is None:
        return f"{value:.4g}"
    low, high = entry["low"] * scale, entry["high"] * scale
    decimals = _decimals((high - low) / 2)
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def _decimals(half_width: float) -> int:
    """The Particle Data Group's rule: two figures of an error that starts with 10 to 35, one of any other."""
    if half_width <= 0:
        return 3
    exponent = math.floor(math.log10(half_width))
    figures = 2 if half_width < 3.55 * 10**exponent else 1
    return min(6, max(0, figures - 1 - exponent))


def reading(name: str, difference: Estimate | None) -> str:
    """A difference and what it says: `better` or `worse` where the interval leaves zero out, otherwise `unclear`."""
    shown = estimate(difference, scale(name))
    if not difference or difference.get("low") is None or difference.get("high") is None:
        return shown
    if difference["low"] <= 0 <= difference["high"]:
        return f"{shown} unclear"
    higher = difference["low"] > 0
    return f"{shown} {'better' if higher == (metric(name).better == 'higher') else 'worse'}"


def label(name: str) -> str:
    """A metric's name for a person: without the judge's protocol, which the table's title states.

    Of those by a network that the parameters name, the name is the protocol, and stays whole.
    """
    if by_named_network(name):
        return name
    suffix = next((found for found in PROTOCOLS if name.endswith(found)), "_test")
    return COSTS.get(name) or name.removesuffix(suffix).replace("_", " ")


def scale(name: str) -> int:
    """By what a metric's values are multiplied to be shown as papers show them."""
    return 1000 if name.startswith("kid_") else 1


def _scaled(name: str) -> str:
    return f"{label(name)} x {scale(name)}" if scale(name) > 1 else label(name)


def _arrow(name: str) -> str:
    return "up" if metric(name).better == "higher" else "down"


def verdict_table(verdict: Verdict) -> Table:
    """Every rule with its number and its bound, failed ones first; below, what each failed one says."""
    rows = tuple(
        (label(finding.metric), finding.rule.replace("_", " "), *map(_number, (finding.value, finding.reference)),
         _spread(finding.interval), _number(finding.bound), finding.outcome)
        for finding in ordered(verdict.rules)
    )  # fmt: skip
    title = f"Verdict: {'PASSED' if verdict.passed else 'FAILED'} ({counts(verdict)})"
    header = ("", "rule", "student", "compared with", "difference, 95 %", "bound", "outcome")
    return Table(title, header, rows, tuple(verdict.failures()))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _spread(interval: tuple[float, float] | None) -> str:
    return f"[{interval[0]:.4g}, {interval[1]:.4g}]" if interval else "-"


def markdown_text(text: str) -> str:
    """Text as Markdown that shows it and does nothing else: no cell, line, code, link, picture or markup of its own."""
    line = " ".join(text.split())
    return "".join(ESCAPES.get(character, character) for character in line).replace("://", "&#58;//")


def next_steps(root: Path) -> Iterator[str]:
    """Where to look after a run in `root`, the folder that holds artifacts/."""
    yield f"{root / 'artifacts/evaluate/samples.png'}: inputs, real photos and every model's, side by side"
    yield f"{root / 'artifacts/prune/diff.txt'}, {root / 'artifacts/prune/widths.png'}: what was cut"
    yield "dvc plots show: curves, and IoU by class of label maps; dvc metrics show: every number"
    yield f"mlflow ui --backend-store-uri sqlite:///{root / 'mlflow.db'}: training runs and registered students"
