"""Bars of widths before and after pruning, and strips of values with their intervals, as inline SVG."""

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from understudy.report.drawing import element, svg

Pairs = Sequence[tuple[int, int]]
CELL, ROW, BAR = 118, 34, 12  # units: a column, a row, the height of a bar
LEFT, TOP = 62, 22  # room for the names of rows and columns
STRIP, LINE, EDGE = 132, 7, 4  # units: the width of a strip, the height of one of its lines, room for a dot at an end


def bars(rows: Iterable[tuple[str, Pairs]], columns: Sequence[str], label: str) -> Markup:
    """Widths before and after, one bar inside the other: a row for each name, a column for each heading.

    rows: a name and (before, after) for each column; (0, 0) where there is nothing. One scale for all. label: what is
    read aloud.
    """
    rows = list(rows)
    largest = max((before for _, pairs in rows for before, _ in pairs), default=0) or 1
    drawn = [element("text", name, x=LEFT + CELL * index, y=12) for index, name in enumerate(columns)]
    for index, (name, pairs) in enumerate(rows):
        y = TOP + ROW * index
        drawn.append(element("text", name, class_="name", x=0, y=y + 10))
        for column, (before, after) in enumerate(pairs):
            drawn += _bar(LEFT + CELL * column, y, before, after, (CELL - 16) / largest)
    return svg(LEFT + CELL * len(columns), TOP + ROW * len(rows), label, drawn)


def _bar(x: int, y: int, before: int, after: int, unit: float) -> list[Markup]:
    if not before:
        return []
    text, kind = (f"{after} of {before}", "count") if after else (f"removed ({before})", "gone")
    both = {"before": before, "after": after}
    return [
        *(element("rect", class_=name, x=x, y=y, width=width * unit, height=BAR, rx=1.5)
          for name, width in both.items() if width),
        element("text", text, class_=kind, x=x, y=y + BAR + 12),
    ]  # fmt: skip


def interval_strip(entries: Mapping[str, Mapping[str, float] | None]) -> Markup:
    """Values in [0, 1] with their intervals, one above the other: goes beside a row of the same numbers.

    entries: by name, which is also the class of the colour.
    """
    height = LINE * len(entries) + 8
    drawn = [_grid(height)]
    for index, (name, entry) in enumerate(entries.items()):
        if not entry:
            continue
        y = 5 + LINE * index
        low, value, high = (_across(entry.get(key, entry["value"])) for key in ("low", "value", "high"))
        drawn.append(element("line", class_=f"line {name}", x1=low, x2=high, y1=y, y2=y))
        drawn.append(element("circle", class_=f"dot {name}", cx=value, cy=y, r=2.6))
    return svg(STRIP, height, None, drawn)


def _grid(height: int) -> Markup:
    """A thin line at 0, at 1/2 and at 1."""
    lines = (element("line", x1=_across(at), x2=_across(at), y1=0, y2=height) for at in (0, 0.5, 1))
    return element("g", Markup("").join(lines), class_="grid")


def _across(value: float) -> float:
    return EDGE + (STRIP - 2 * EDGE) * value
