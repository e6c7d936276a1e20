"""What pruning left: the widths of teacher and student as bars and as text."""

from collections.abc import Mapping
from typing import Any

from understudy.arch import families as architecture
from understudy.arch.diff import Widths, compare, diff
from understudy.errors import UserError
from understudy.report.bars import bars
from understudy.report.gather import Run


def widths(run: Run) -> Mapping[str, Any]:
    """Bars of the widths before and after pruning, the readable diff, and what was kept by which scores."""
    before = architecture.load(run.path("artifacts/teacher/arch.json"))
    after = architecture.load(run.path("artifacts/prune/arch.json"))
    drawings = [
        (table.title.capitalize(), bars(table.rows, table.columns, _read_aloud(table)))
        for table in compare(before, after)
    ]
    written = run.root / "artifacts/prune/diff.txt"
    text = written.read_text(encoding="utf-8") if written.is_file() else diff(before, after)
    try:
        numbers = run.json("artifacts/prune/metrics.json")
    except UserError:
        numbers = {}
    return {
        "drawings": drawings,
        "diff": text,
        "threshold": numbers.get("threshold"),
        "factor": numbers.get("factor"),
        "scores": numbers.get("scores", "norm scales"),
    }


def _read_aloud(table: Widths) -> str:
    rows = []
    for row, pairs in table.rows:
        cells = zip(table.columns, pairs, strict=True)
        said = ", ".join(f"{name} {after} of {before}" for name, (before, after) in cells if before)
        rows.append(f"{row}: {said}" if row else said)
    return "; ".join(rows)
