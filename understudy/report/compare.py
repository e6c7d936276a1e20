"""Two runs side by side: metrics with their difference, changed parameters, verdicts, both students' pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import read_json
from understudy.gate import EVALUATION, JUDGE, STUDENT, TEST_SPLIT
from understudy.graph import NETWORKS
from understudy.metrics.protocol import MEASURED, Metric, scored
from understudy.params.leaves import differences
from understudy.report.gather import Run
from understudy.report.parameters import LOCK, PARAMS, parameters, shown
from understudy.report.tables import Table, estimate, label
from understudy.verdict import PATH

METRICS_FILE = "artifacts/evaluate/metrics.json"  # in git: there even where evaluation.json, DVC's, cannot be had
ROUNDED = 1e-6  # what metrics.json rounds to: a smaller difference may come of that alone
NEEDED = (LOCK, PARAMS, METRICS_FILE, EVALUATION, PATH, *STUDENT)


@dataclass(frozen=True)
class Other:
    """The run of another revision.

    name: as the user wrote it. commit: that it names. root: a folder that holds what could be had of NEEDED; absent:
    why the rest could not, by name.
    """

    name: str
    commit: str
    root: Path
    absent: Mapping[str, str]


@dataclass(frozen=True)
class Comparison:
    """verdicts: of the other run and of this one, in a line each. notes: what could not be compared, and why."""

    name: str
    commit: str
    verdicts: tuple[str, str]
    metrics: list[Table]
    parameters: Table
    notes: list[str] = field(default_factory=list)


def compare(run: Run, other: Other) -> Comparison:
    """The comparison of `run` with `other`. Raises UserError when the other run has no metrics at all."""
    theirs = Run(other.root)
    before, notes = _models(theirs, other), list(other.absent.values())
    after = run.evaluation["models"]
    incomparable = [] if EVALUATION in other.absent else _incomparable(run, theirs)
    metrics = [_metrics(model, before.get(model, {}), after.get(model, {}), other.name, not incomparable)
               for model in NETWORKS]  # fmt: skip
    verdicts, changed = (_verdict(theirs), _verdict(run)), _parameters(theirs, run, other.name)
    return Comparison(other.name, other.commit, verdicts, metrics, changed, [*notes, *incomparable])


def _models(theirs: Run, other: Other) -> Mapping[str, Mapping[str, Any]]:
    """Estimates with intervals from evaluation.json, or values alone from metrics.json."""
    if EVALUATION not in other.absent:
        return theirs.evaluation["models"]
    if METRICS_FILE in other.absent:
        raise UserError(f"--against {other.name}: no metrics of a run there: {other.absent[METRICS_FILE]}")
    values = read_json(theirs.path(METRICS_FILE))
    return {model: {name: {"value": value} for name, value in metrics.items()} for model, metrics in values.items()}


def _incomparable(run: Run, theirs: Run) -> list[str]:
    """What makes the metrics of two runs different quantities."""
    ours, others = run.evaluation["files"], theirs.evaluation["files"]
    changed = [what for name, what in ((TEST_SPLIT, "the test split"), (JUDGE, "the judge"))
               if ours.get(name) != others.get(name)]  # fmt: skip
    return [f"The two runs differ in {' and '.join(changed)}: their quality metrics do not compare."] if changed else []


def _metrics(model: str, before: Mapping[str, Any], after: Mapping[str, Any], name: str, comparable: bool) -> Table:
    """comparable: whether both runs were scored alike, without which a difference of their scores means nothing."""
    rows, higher = [], []
    for metric in (*scored((*after, *before)), *MEASURED):
        old, new = before.get(metric.name), after.get(metric.name)
        if not old and not new:
            continue
        sure = comparable or metric in MEASURED
        difference = _difference(metric, old, new) if old and new and sure else "-"
        rows.append((label(metric.name), estimate(old), estimate(new), difference))
        higher += [label(metric.name)] if metric.better == "higher" else []
    note = f"Higher is better: {', '.join(higher)}; lower: the others." if higher else "Lower is better."
    return Table(f"The {model}", ("", name, "this run", "difference"), tuple(rows), (note,))


def _difference(metric: Metric, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """By how much, and `better` or `worse` where it is sure: what was counted, or intervals that do not overlap."""
    change = new["value"] - old["value"]
    if abs(change) < ROUNDED:
        return "0"
    better = "better" if (change > 0) == (metric.better == "higher") else "worse"
    if metric not in MEASURED:
        if any(entry.get(end) is None for entry in (old, new) for end in ("low", "high")):
            return f"{change:+.4g}"
        if old["low"] <= new["high"] and new["low"] <= old["high"]:
            return f"{change:+.4g} unclear"
    return f"{change:+.4g} {better}"


def _parameters(theirs: Run, run: Run, name: str) -> Table:
    """The parameters that differ; every one of them that only one side has."""
    title, header = "Parameters that differ", ("", name, "this run")
    try:
        before, after = parameters(theirs), parameters(run)
    except UserError as error:
        return Table(title, header, (), (f"{error}.",))
    changes = differences(before.values, after.values)
    rows = tuple((change.key, shown(change.before), shown(change.after)) for change in changes)
    sides = ((name, before), ("this run", after))
    notes = [f"{side}: {note}" for side, found in sides for note in found.notes]
    return Table(title, header, rows, (*notes, *(() if rows else ("None.",))))


def _verdict(run: Run) -> str:
    try:
        verdict = run.verdict()
    except UserError as error:
        return f"none: {error}"
    failed = sum(finding.outcome == "failed" for finding in verdict.rules)
    return "passed" if verdict.passed else f"failed, {failed} rule{'s' if failed > 1 else ''} broken"
