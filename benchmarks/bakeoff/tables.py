"""The bake-off's tables, as Markdown, of the results that are there: one for each question and design."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.bakeoff.arms import ARMS
from benchmarks.bakeoff.paired import Difference
from benchmarks.bakeoff.power import detectable, pooled
from benchmarks.bakeoff.questions import QUESTIONS, Question, Results, compared, values
from benchmarks.documents import row
from benchmarks.headings import heading, metrics_of, number
from understudy.metrics.protocol import metric as known_metric
from understudy.report.tables import estimate, scale

LEVEL = 0.05
PLANNED = (5, 10, 20)  # numbers of seeds that a detectable difference is told for


def table(question: Question, results: Results) -> str:
    """The question's table. results: by arm; of arms that have none the row says so."""
    return TABLES.get(question.name, comparisons)(question, results)


def comparisons(question: Question, results: Results) -> str:
    """Each arm's mean, and its difference from its reference with what the corrected test says of it."""
    metrics = shown_metrics(results)
    head = ["arm", "against", "seeds", "GMACs, true"]
    head += [f"{heading(metric)}{part}" for metric in metrics for part in ("", ", difference")]
    found = {metric: compared(question, results, metric) for metric in metrics}
    lines = [*_head(head)]
    for arm in dict.fromkeys(reference for _, reference in question.pairs):
        cells = [cell for metric in metrics for cell in (_mean(results, arm, metric), "")]
        lines.append(row([f"`{arm}`", "", _seeds(results, arm), _macs(results, arm), *cells]))
    for index, (arm, reference) in enumerate(question.pairs):
        cells = [
            cell for metric in metrics for cell in (_mean(results, arm, metric), _reading(metric, found[metric][index]))
        ]
        lines.append(row([f"`{arm}`", f"`{reference}`", _seeds(results, arm), _macs(results, arm), *cells]))
    return "\n".join([*lines, "", *_detectable(question, found)])


def noise(question: Question, results: Results) -> str:
    """The spread over seeds of the question's arms; then what pairing by seed leaves of it in all arms of losses."""
    metrics = shown_metrics(results)
    lines = [*_head(["arm", "seeds", *(f"{heading(metric)}, mean and spread" for metric in metrics)])]
    for arm in question.arms:
        lines.append(row([f"`{arm}`", _seeds(results, arm), *(_mean(results, arm, metric) for metric in metrics)]))
    lines += ["", *_head(["", *map(heading, metrics)])]
    losses = QUESTIONS["losses"]
    spreads = {metric: _spreads(losses, results, metric) for metric in metrics}
    for name, told in (
        ("spread over seeds, all arms of losses", lambda metric: spreads[metric][0]),
        ("spread from the test images alone", lambda metric: _of_images(losses, results, metric)),
        ("spread of the difference from `none`, paired by seed", lambda metric: spreads[metric][1]),
    ):
        lines.append(row([name, *(_maybe(told(metric), metric) for metric in metrics)]))
    lines.append(row(["correlation of two arms over seeds", *(_correlation(*spreads[metric]) for metric in metrics)]))
    for seeds in PLANNED:
        for tests in (1, len(losses.pairs)):
            cells = [_maybe(_finds(spreads[metric][1], seeds, tests), metric) for metric in metrics]
            lines.append(row([f"difference that {seeds} seeds find, {_tests(tests)}", *cells]))
    return "\n".join([*lines, ""])


def costs(question: Question, results: Results) -> str:
    """Processor time of a training, beside what it gives."""
    metrics = shown_metrics(results)
    heads = [
        "arm",
        "runs timed",
        "CPU s",
        "times `none`",
        "wall s",
        "steps/CPU s",
        "GMACs, true",
        *map(heading, metrics),
    ]
    lines = [*_head(heads)]
    base = cpu_seconds(results, "none")
    for arm in question.arms:
        runs, seconds = timed(results, arm), cpu_seconds(results, arm)
        if seconds is None:
            lines.append(row([f"`{arm}`", "0", *("-" for _ in heads[2:])]))
            continue
        wall = statistics.median(run["training"]["seconds"] for run in runs)
        cells = [f"{seconds:.0f}", "-" if base is None else f"{seconds / base:.2f}", f"{wall:.0f}"]
        cells += [f"{runs[0]['training']['steps'] / seconds:.1f}", _macs(results, arm)]
        lines.append(row([f"`{arm}`", str(len(runs)), *cells, *(_mean(results, arm, metric) for metric in metrics)]))
    return "\n".join([*lines, "", "Seconds: median of trainings that were not interrupted, on one thread.", ""])


def saturation(question: Question, results: Results) -> str:
    """Each distillation loss at the start and later, weighted as it was trained, as a mean over seeds."""
    lines = [*_head(["arm", "loss", "lowest possible", "start", "quarter", "half", "end", "fallen, of what it could",
                     "of that in the first quarter"])]  # fmt: skip
    for arm, _ in question.pairs:
        for loss, line in distillation_curves(results, arm).items():
            low = results[arm][0]["lowest"].get(loss, 0.0)
            first, last, quarter = line[0], line[-1], line[len(line) // 4]
            could, fell = first - low, first - last
            shares = [f"{fell / could:.0%}" if could else "-", f"{(first - quarter) / fell:.0%}" if fell > 0 else "-"]
            told = [f"{value:.3g}" for value in (low, first, quarter, line[len(line) // 2], last)]
            lines.append(row([f"`{arm}`", loss, *told, *shares]))
    return "\n".join(
        [*lines, "", "Start: the mean of the first stretch of steps, of as many as the plot has points.", ""]
    )


TABLES: Mapping[str, Callable[[Question, Results], str]] = {"noise": noise, "time": costs, "saturation": saturation}


def shown_metrics(results: Results) -> list[str]:
    """The metrics of the tables that every result has, in their order."""
    every = [result for runs in results.values() for result in runs]
    return [name for name in metrics_of(every[0]) if all(name in result["metrics"] for result in every)]


def timed(results: Results, arm: str) -> list[Mapping[str, Any]]:
    """Runs whose training was not interrupted: the others' seconds do not tell what it takes."""
    return [result for result in results.get(arm, ()) if result["training"]["starts"] == 1]


def cpu_seconds(results: Results, arm: str) -> float | None:
    """Of one training of this arm: the median; None where none was timed whole."""
    runs = timed(results, arm)
    return statistics.median(run["training"]["cpu_seconds"] for run in runs) if runs else None


def distillation_curves(results: Results, arm: str) -> dict[str, list[float]]:
    """The terms that a teacher adds, by name, at each point of the thinned curves: means over the seeds."""
    runs = results.get(arm, ())
    names = [name for name in ("alignment", "relation", "output", "feature") if runs and name in runs[0]["curves"]]
    return {
        name: [statistics.fmean(at) for at in zip(*(run["curves"][name] for run in runs), strict=True)]
        for name in names
    }


def _head(cells: Sequence[str]) -> list[str]:
    return [row(cells), "|" + " --- |" * len(cells)]


def _seeds(results: Results, arm: str) -> str:
    return str(len(results.get(arm, ())))


def _macs(results: Results, arm: str) -> str:
    runs = results.get(arm)
    return f"{runs[0]['costs']['macs_true_g']:.4g}" if runs else "-"


def _mean(results: Results, arm: str, metric: str) -> str:
    """Mean and standard deviation over the seeds."""
    known = list(values(results, arm, metric).values())
    if not known:
        return "-"
    spread = f" ± {number(statistics.stdev(known), metric)}" if len(known) > 1 else ""
    return f"{number(statistics.fmean(known), metric)}{spread}"


def _reading(metric: str, found: tuple[Difference, float] | None) -> str:
    """A difference with its interval, its corrected p, and what that says."""
    if found is None:
        return "-"
    one, p = found
    shown = estimate({"value": one.mean, "low": one.low, "high": one.high}, scale(metric))
    if p >= LEVEL:
        return f"{shown}, p {p:.2g} unclear"
    better = (one.mean > 0) == (known_metric(metric).better == "higher")
    return f"{shown}, p {p:.2g} **{'better' if better else 'worse'}**"


def _detectable(question: Question, found: Mapping[str, Sequence[tuple[Difference, float] | None]]) -> list[str]:
    """What the question's own results say about what it could find."""
    told = []
    for metric, pairs in found.items():
        known = [one for one, _ in filter(None, pairs)]
        spread = pooled([one.values for one in known])
        if spread:
            least = min(len(one.values) for one in known)
            told.append(f"{heading(metric)} {number(detectable(spread, least, len(question.pairs)), metric)}")
    if not told:
        return []
    tests = f"Holm's correction for {len(question.pairs)}" if len(question.pairs) > 1 else "one test"
    return [f"Found with a probability of 80 %, with {tests}: a difference of {', '.join(told)} or more.", ""]


def _spreads(question: Question, results: Results, metric: str) -> tuple[float | None, float | None]:
    """Standard deviations, pooled over the question's arms: of the metric over seeds, and of the paired differences."""
    alone = pooled([list(values(results, arm, metric).values()) for arm in question.arms])
    return alone, pooled([one.values for one, _ in filter(None, compared(question, results, metric))])


def _of_images(question: Question, results: Results, metric: str) -> float | None:
    """The standard error that the choice of test images gives one run: the mean 95 % bootstrap interval, over 3.92."""
    found = [result["metrics"][metric] for arm in question.arms for result in results.get(arm, ())]
    return statistics.fmean(entry["high"] - entry["low"] for entry in found) / 3.92 if found else None


def _finds(spread: float | None, seeds: int, tests: int) -> float | None:
    return None if spread is None else detectable(spread, seeds, tests)


def _correlation(alone: float | None, paired: float | None) -> str:
    """What common random numbers give: var(a - b) = 2 var (1 - r)."""
    return "-" if not alone or paired is None else f"{1 - paired**2 / (2 * alone**2):.2f}"


def _maybe(value: float | None, metric: str) -> str:
    return "-" if value is None or not math.isfinite(value) else number(value, metric)


def _tests(count: int) -> str:
    return "one test" if count == 1 else f"first of {count} tests"


def arm_list() -> str:
    """Every arm and what it is."""
    return "\n".join([*_head(["arm", "what it is"]), *(row([f"`{arm.name}`", arm.about]) for arm in ARMS.values()), ""])
