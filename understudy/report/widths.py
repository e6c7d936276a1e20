"""What pruning left: the widths of teacher and student as bars and as text."""

from collections.abc import Mapping
from typing import Any

from understudy.arch import families as architecture
from understudy.arch.diff import Widths, compare, diff
from understudy.errors import UserError
from understudy.files import sha256
from understudy.report.bars import bars
from understudy.report.gather import MISSHAPEN, Run


def widths(run: Run) -> Mapping[str, Any]:
    """Bars of the widths before and after pruning, the readable diff, what was kept by which scores, and of a budget of
    milliseconds what was measured."""
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
        "latency": _measured(run),
    }


def _measured(run: Run) -> str:
    """What the network took when it was chosen; nothing where it was not chosen by that, or elsewhere."""
    try:
        record = run.json(".understudy/prune/latency.json")
        if any(sha256(run.path(name)) != digest for name, digest in record["files"].items()):
            return ""
        return (
            f"{record['student_ms']:.3g} ms of a budget of {record['budget_ms']:g} ms, where the teacher took "
            f"{record['teacher_ms']:.3g} ms (one image on {record['device']}, {record['threads']} threads)"
        )
    except (UserError, *MISSHAPEN):
        return ""


def _read_aloud(table: Widths) -> str:
    rows = []
    for row, pairs in table.rows:
        cells = zip(table.columns, pairs, strict=True)
        said = ", ".join(f"{name} {after} of {before}" for name, (before, after) in cells if before)
        rows.append(f"{row}: {said}" if row else said)
    return "; ".join(rows)
