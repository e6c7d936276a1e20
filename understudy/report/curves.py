"""Line charts as inline SVG, drawn here, so that the page needs no plotting library and prints as it looks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from understudy.report.drawing import element, svg

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 340, 210  # units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 26  # margins around the plotted area
MOST = 400  # points of a line; of more, every k-th is drawn
SMOOTHED = 60  # points from which on a running mean is drawn over the line, of a twentieth of its length


@dataclass(frozen=True)
class Chart:
    """title: what is drawn. svg: the drawing. last: the last value of each line, for those who do not see it."""

    title: str
    svg: Markup
    last: str


@dataclass(frozen=True)
class Scale:
    """Where a value stands in the drawing. x and y: the (low, high) values at the edges of the plotted area."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def down(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)


def chart(title: str, lines: Mapping[str, Points], marked: bool = False) -> Chart:
    """A line chart. lines: by name, which is also the class of its colour; x are steps. marked: with a dot each.

    What is not finite is left out.
    """
    kept = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in lines.items()}
    kept = {name: points for name, points in kept.items() if points}
    last = "; ".join(f"{name} {points[-1][1]:.4g}" for name, points in kept.items()) or "no finite value"
    xs = [x for points in kept.values() for x, _ in points] or [0.0]
    ys = [y for points in kept.values() for _, y in points] or [0.0]
    x_ticks, y_ticks = ticks(0, max(*xs, 1), 4), ticks(min(ys), max(ys), 4)
    scale = Scale((0, max(*xs, 1)), (y_ticks[0], y_ticks[-1]))
    drawn = [grid(scale, x_ticks, y_ticks)]
    for name, points in kept.items():
        drawn += _line(scale, name, _thin(points), marked)
    return Chart(title, svg(WIDTH, HEIGHT, f"{title} by step; last values: {last}", drawn), last)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers that cover [low, high]: 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [float(f"{index * step:.12g}") for index in range(math.floor(low / step), math.ceil(high / step) + 1)]


def grid(scale: Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Markup:
    drawn = []
    for tick in y_ticks:
        y = scale.down(tick)
        drawn.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        drawn.append(element("text", _tick(tick), x=LEFT - 6, y=y + 3.5, text_anchor="end"))
    for tick in x_ticks:
        if tick <= scale.x[1]:
            x = scale.across(tick)
            anchor = "end" if x > WIDTH - 24 else "middle"
            drawn.append(element("text", _tick(tick), x=x, y=HEIGHT - 8, text_anchor=anchor))
    return element("g", Markup("").join(drawn), class_="grid")


def _line(scale: Scale, name: str, points: Points, marked: bool) -> list[Markup]:
    drawn = []
    if len(points) >= SMOOTHED:
        drawn.append(element("polyline", class_=f"line {name} raw", points=_path(scale, points)))
        points = running_mean(points, len(points) // 20)
    drawn.append(element("polyline", class_=f"line {name}", points=_path(scale, points)))
    for x, y in points if marked else points[-1:]:
        drawn.append(element("circle", class_=f"dot {name}", cx=scale.across(x), cy=scale.down(y), r=2.6))
    return drawn


def _path(scale: Scale, points: Points) -> str:
    return " ".join(f"{scale.across(x):.1f},{scale.down(y):.1f}" for x, y in points)


def running_mean(points: Points, reach: int) -> Points:
    """Each value's mean with `reach` neighbours on either side, as far as there are any.

    At the start, where losses fall steeply, with no more after it than before it, so that the mean falls as they do.
    """
    means = []
    for index, (x, _) in enumerate(points):
        near = min(reach, index)
        window = [y for _, y in points[index - near : index + near + 1]]
        means.append((x, sum(window) / len(window)))
    return means


def _thin(points: Points) -> Points:
    every = math.ceil(len(points) / MOST)
    return [*points[:-1:every], points[-1]]


def _tick(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
