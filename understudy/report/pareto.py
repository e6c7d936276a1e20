"""Students of several budgets: what each costs and gives, as a table and a drawing, and which of them are worth it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from understudy.metrics.protocol import metric, scored
from understudy.report.curves import HEIGHT, LEFT, RIGHT, WIDTH, Scale, grid, ticks
from understudy.report.drawing import element, svg_file
from understudy.report.tables import COSTS, Table, estimate, label, scale

MACS = "macs_true_g"
TITLE = 26  # units above each panel


@dataclass(frozen=True)
class Point:
    """budget: as asked for. models: of evaluation.json, or None where it was not had; outcome: the gate's, in words."""

    budget: float
    models: Mapping[str, Mapping[str, Any]] | None
    outcome: str

    def value(self, name: str) -> float:
        """Of the student."""
        assert self.models is not None
        return float(self.models["student"][name]["value"])


def front(points: Sequence[Point], name: str) -> list[Point]:
    """Those of which no other is as small and as good, and better in one; from the smallest on."""
    sign = 1 if metric(name).better == "higher" else -1

    def beaten(point: Point) -> bool:
        mine = (point.value(MACS), -sign * point.value(name))
        others = [(other.value(MACS), -sign * other.value(name)) for other in points]
        return any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in others)

    return sorted((point for point in points if not beaten(point)), key=lambda point: point.value(MACS))


def metrics_of(points: Sequence[Point]) -> list[str]:
    """The metrics that every student has, in the order of the report."""
    had = [point.models["student"] for point in points if point.models is not None]
    return [found.name for found in scored(had[0]) if all(found.name in one for one in had)] if had else []


def pareto_table(points: Sequence[Point], unit: str) -> Table:
    """A row for each budget, from the smallest on; a star where a student is on the front of a metric."""
    known = [point for point in points if point.models is not None]
    names = metrics_of(points)
    best = {name: front(known, name) for name in names}
    rows = []
    for point in sorted(points, key=lambda point: point.budget):
        if point.models is None:
            rows.append((f"{point.budget:g}", *("-" for _ in range(2 + len(names))), point.outcome))
            continue
        student = point.models["student"]
        costs = (estimate(student.get(name)) for name in (MACS, "params_m"))
        marked = (estimate(student[name], scale(name)) + (" *" if point in best[name] else "") for name in names)
        rows.append((f"{point.budget:g}", *costs, *marked, point.outcome))
    headed = (f"{label(name)} x {scale(name)}" if scale(name) > 1 else label(name) for name in names)
    header = (f"budget, {unit}", COSTS[MACS], COSTS["params_m"], *headed, "gate")
    notes = ["* no other of these students is as small and as good; 95 % intervals, of the test photos alone"]
    if known and "teacher" in (known[0].models or {}):
        teacher = (known[0].models or {})["teacher"]
        said = ", ".join(f"{label(name)} {estimate(teacher.get(name), scale(name))}" for name in names)
        notes.append(f"the teacher, {estimate(teacher.get(MACS))} G MACs: {said}")
    return Table("Students of several budgets by one teacher", header, tuple(rows), tuple(notes))


def pareto_drawing(points: Sequence[Point]) -> Markup:
    """A panel for each metric over true MACs (G): students with their intervals, the front joined, the teacher's level.
    A file of its own."""
    known = [point for point in points if point.models is not None]
    names = metrics_of(points)
    drawn = [element("g", Markup("").join(_panel(known, name)), transform=f"translate({WIDTH * number} {TITLE})")
              for number, name in enumerate(names)]  # fmt: skip
    spoken = "; ".join(f"{label(name)}: on the front {', '.join(f'{point.budget:g}' for point in front(known, name))}"
                       for name in names)  # fmt: skip
    return svg_file(WIDTH * max(1, len(names)), HEIGHT + TITLE, f"Quality over MACs by budget. {spoken}", drawn)


def _panel(points: Sequence[Point], name: str) -> list[Markup]:
    found = [(point, point.value(MACS), (point.models or {})["student"][name]) for point in points]
    teacher = (points[0].models or {}).get("teacher", {}).get(name)
    times = scale(name)
    ends = [entry.get(key, entry["value"]) * times for _, _, entry in found for key in ("low", "value", "high")]
    ends += [teacher["value"] * times] if teacher else []
    y_ticks, x_ticks = ticks(min(ends), max(ends), 4), ticks(0, max(x for _, x, _ in found), 4)
    place = Scale((0, max(x_ticks)), (y_ticks[0], y_ticks[-1]))
    unit = f" x {times}" if times > 1 else ""
    drawn = [element("text", f"{label(name)}{unit}, {metric(name).better} is better", class_="name", x=LEFT, y=-8),
             grid(place, x_ticks, y_ticks)]  # fmt: skip
    if teacher:
        y = place.down(teacher["value"] * times)
        drawn.append(element("line", class_="line teacher", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
    best = front(points, name)
    path = " ".join(f"{place.across(point.value(MACS)):.1f},{place.down(point.value(name) * times):.1f}"
                    for point in best)  # fmt: skip
    drawn.append(element("polyline", class_="line student", points=path))
    for point, macs, entry in found:
        kind = "student" if point in best else "baseline"
        x, y = place.across(macs), place.down(entry["value"] * times)
        if entry.get("low") is not None and entry.get("high") is not None:
            low, high = (place.down(entry[key] * times) for key in ("low", "high"))
            drawn.append(element("line", class_=f"line {kind}", x1=x, x2=x, y1=low, y2=high))
        drawn.append(element("circle", class_=f"dot {kind}", cx=x, cy=y, r=3.2))
    return drawn
