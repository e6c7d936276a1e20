"""The bake-off's plots, each a small SVG file in the report's style: one for each question and design."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmarks.bakeoff.questions import Question, Results, compared, values
from benchmarks.bakeoff.tables import cpu_seconds, distillation_curves, shown_metrics
from benchmarks.headings import heading
from understudy.metrics.protocol import metric as known_metric
from understudy.report.curves import HEIGHT, LEFT, RIGHT, WIDTH, Scale, chart, grid, ticks
from understudy.report.drawing import element, svg_file
from understudy.report.tables import scale

NAMES, PANEL, LINE, TITLE, FOOT = 200, 230, 22, 30, 22  # units: names, a panel, a row, room above and below the rows
COLUMNS = 3  # charts of losses side by side
KEY, KEYS = 190, 5  # units of a name of the key, and how many stand side by side


@dataclass(frozen=True)
class Strip:
    """One row of a panel. dots: one for each seed. interval: (low, mean, high); None of fewer than two seeds."""

    dots: Sequence[float]
    interval: tuple[float, float, float] | None


def plot(question: Question, results: Results) -> Markup:
    """The question's drawing of the results that are there."""
    if question.name == "time":
        return _over_time(question, results)
    if question.name == "saturation":
        return _losses(question, results)
    metrics = shown_metrics(results)
    if question.name == "noise":
        panels = {metric: {arm: _spread(results, arm, metric) for arm in question.arms} for metric in metrics}
        return _strips("Each dot a seed, the line one standard deviation about the mean", panels, zero=False)
    panels = {}
    for metric in metrics:
        found = compared(question, results, metric)
        panels[metric] = {
            f"{arm} - {reference}": _difference(one, scale(metric))
            for (arm, reference), one in zip(question.pairs, found, strict=True)
        }
    return _strips("Differences, each dot a seed, the line a 95 % interval", panels, zero=True)


def _spread(results: Results, arm: str, metric: str) -> Strip:
    dots = [value * scale(metric) for value in values(results, arm, metric).values()]
    if len(dots) < 2:
        return Strip(dots, None)
    mean, deviation = statistics.fmean(dots), statistics.stdev(dots)
    return Strip(dots, (mean - deviation, mean, mean + deviation))


def _difference(found: tuple | None, times: int) -> Strip:
    if found is None:
        return Strip((), None)
    one, _ = found
    return Strip([value * times for value in one.values], (one.low * times, one.mean * times, one.high * times))


def _strips(title: str, panels: Mapping[str, Mapping[str, Strip]], zero: bool) -> Markup:
    """A panel for each metric, a row for each name. zero: with a line at no difference."""
    names = list(next(iter(panels.values()), {}))
    height = TITLE + LINE * len(names) + FOOT
    drawn = [element("text", name, class_="name", x=6, y=TITLE + LINE * (index + 0.65))
             for index, name in enumerate(names)]  # fmt: skip
    for number, (metric, rows) in enumerate(panels.items()):
        parts = _panel(metric, list(rows.values()), zero)
        drawn.append(element("g", Markup("").join(parts), transform=f"translate({NAMES + PANEL * number} 0)"))
    return svg_file(NAMES + PANEL * max(1, len(panels)), height, title, drawn)


def _panel(metric: str, rows: Sequence[Strip], zero: bool) -> list[Markup]:
    ends = [value for row in rows for value in (*row.dots, *(row.interval or ()))] + ([0.0] if zero else [])
    marks = ticks(min(ends), max(ends), 3) if ends else [0.0, 1.0]
    bottom = TITLE + LINE * len(rows)

    def across(value: float) -> float:
        return 10 + (value - marks[0]) / (marks[-1] - marks[0]) * (PANEL - 30)

    drawn = [element("text", _titled(metric), class_="name", x=10, y=14)]
    lines = [element("line", x1=across(mark), x2=across(mark), y1=TITLE, y2=bottom) for mark in marks]
    anchors = {0: "start", len(marks) - 1: "end"}  # within the panel, beside another
    lines += [
        element("text", f"{mark:g}", x=across(mark), y=bottom + 15, text_anchor=anchors.get(index, "middle"))
        for index, mark in enumerate(marks)
    ]
    drawn.append(element("g", Markup("").join(lines), class_="grid"))
    if zero:
        drawn.append(element("line", class_="line real", x1=across(0), x2=across(0), y1=TITLE, y2=bottom))
    for index, row in enumerate(rows):
        y = TITLE + LINE * (index + 0.5)
        drawn += [element("circle", class_="dot raw student", cx=across(value), cy=y, r=2.2) for value in row.dots]
        if row.interval is not None:
            low, mean, high = map(across, row.interval)
            drawn.append(element("line", class_="line student", x1=low, x2=high, y1=y, y2=y))
            drawn.append(element("circle", class_="dot student", cx=mean, cy=y, r=3.2))
    return drawn


def _over_time(question: Question, results: Results) -> Markup:
    """Quality over the processor time of a training, a panel for each metric, a numbered dot for each arm."""
    metrics, arms = shown_metrics(results), [arm for arm in question.arms if cpu_seconds(results, arm) is not None]
    key = [element("text", f"{number} {arm}", class_="name", x=LEFT + KEY * (index % KEYS), y=16 + 15 * (index // KEYS))
           for index, (number, arm) in enumerate(enumerate(arms, 1))]  # fmt: skip
    top = 30 + 15 * math.ceil(len(arms) / KEYS)
    drawn = [*key]
    for number, metric in enumerate(metrics):
        parts = _timed(arms, results, metric)
        drawn.append(element("g", Markup("").join(parts), transform=f"translate({WIDTH * number} {top})"))
    width = max(WIDTH * max(1, len(metrics)), LEFT + KEY * KEYS)
    return svg_file(width, HEIGHT + top, "Quality over processor seconds of a training", drawn)


def _timed(arms: Sequence[str], results: Results, metric: str) -> list[Markup]:
    points = []
    for arm in arms:
        found = list(values(results, arm, metric).values())
        points.append((cpu_seconds(results, arm) or 0.0, statistics.fmean(found) * scale(metric)))
    y_ticks = ticks(min((y for _, y in points), default=0.0), max((y for _, y in points), default=1.0), 4)
    x_ticks = ticks(0, max((x for x, _ in points), default=1.0), 4)
    place = Scale((0, x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    drawn = [element("text", f"{_titled(metric)}; over CPU s", class_="name", x=LEFT, y=-2),
             grid(place, x_ticks, y_ticks)]  # fmt: skip
    for number, (x, y) in enumerate(points, 1):
        across, down = place.across(x), place.down(y)
        drawn.append(element("circle", class_="dot student", cx=across, cy=down, r=2.6))
        anchor, shift = ("end", -5) if across > WIDTH - RIGHT - 20 else ("start", 5)
        drawn.append(element("text", number, x=across + shift, y=down + 3.5, text_anchor=anchor))
    return drawn


def _losses(question: Question, results: Results) -> Markup:
    """Each term of each arm by step, in a chart of its own, since no two have one scale."""
    charts = []
    for arm, _ in question.pairs:
        for loss, line in distillation_curves(results, arm).items():
            steps = results[arm][0]["curves"]["step"]
            charts.append(
                (f"{arm}: {loss}", chart(loss, {"student": list(zip(steps, line, strict=True))}, marked=True))
            )
    drawn = []
    for index, (title, made) in enumerate(charts):
        place = f"translate({WIDTH * (index % COLUMNS)} {(HEIGHT + TITLE) * (index // COLUMNS) + TITLE})"
        text = element("text", title, class_="name", x=LEFT, y=-8)
        drawn.append(element("g", Markup("").join((text, made.svg)), transform=place))
    rows = max(1, math.ceil(len(charts) / COLUMNS))
    return svg_file(WIDTH * COLUMNS, (HEIGHT + TITLE) * rows, "Distillation losses by step, means over seeds", drawn)


def _titled(metric: str) -> str:
    return f"{heading(metric)}, {known_metric(metric).better} is better"
