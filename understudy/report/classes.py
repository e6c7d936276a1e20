"""IoU by class with intervals, for every network and for the real photos that bound it."""

from dataclasses import dataclass

from markupsafe import Markup

from understudy.errors import UserError
from understudy.gate import DATASET
from understudy.graph import NETWORKS
from understudy.report.bars import interval_strip
from understudy.report.gather import Run
from understudy.report.tables import estimate

SHOWN_WITH = (*NETWORKS, "real")  # columns of the per-class table


@dataclass(frozen=True)
class ClassRow:
    """name: of the class. colour: `#rrggbb` in the label maps, or empty. cells: one for each of SHOWN_WITH."""

    name: str
    colour: str
    cells: tuple[str, ...]
    strip: Markup


def classes(run: Run) -> list[ClassRow]:
    """IoU with intervals by class, in the order of the data set; empty for data without classes."""
    per_class = run.evaluation["per_class_iou"]
    colours = _colours(run)
    return [
        ClassRow(
            name,
            colours.get(name, ""),
            tuple(estimate(per_class[model].get(name)) for model in SHOWN_WITH),
            interval_strip({model: per_class[model].get(name) for model in SHOWN_WITH}),
        )
        for name in per_class.get("real", ())
    ]


def _colours(run: Run) -> dict[str, str]:
    """The palette by class name; empty where the data set's description cannot be read: a table does without."""
    try:
        info = run.json(DATASET)
        return {str(name): "#{:02x}{:02x}{:02x}".format(*map(int, colour))
                for name, colour in zip(info["classes"], info["palette"], strict=True)}  # fmt: skip
    except (UserError, KeyError, TypeError, ValueError, IndexError):
        return {}
