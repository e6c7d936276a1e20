"""What pruning left: the widths of teacher and student as bars and as text."""

from collections.abc import Mapping
from typing import Any

from understudy import arch as architecture
from understudy.arch import Block, InceptionArch
from understudy.errors import UserError
from understudy.report.bars import bars
from understudy.report.gather import Run


def widths(run: Run) -> Mapping[str, Any]:
    """Bars of the widths before and after pruning, and the readable diff."""
    before = architecture.load(run.path("artifacts/teacher/arch.json"))
    after = architecture.load(run.path("artifacts/prune/arch.json"))
    drawings = []
    ends = [f"stem {i}" for i in range(len(before.stem))] + [f"head {i}" for i in range(len(before.head))]
    pairs = list(zip((*before.stem, *before.head), (*after.stem, *after.head), strict=True))
    drawings.append(("Stem and head", bars([("", pairs)], ends, _bars_label(zip(ends, pairs, strict=True)))))
    if isinstance(before, InceptionArch) and isinstance(after, InceptionArch):
        columns = sorted({(kind, kernel) for block in before.blocks for kind, kernel, _ in block.branches()})
        rows = [(f"block {index}", [(_width(old, *column), _width(new, *column)) for column in columns])
                for index, (old, new) in enumerate(zip(before.blocks, after.blocks, strict=True))]  # fmt: skip
        names = [f"{kind} {kernel}×{kernel}" for kind, kernel in columns]
        text = "; ".join(f"{name}: {_bars_label(zip(names, cells, strict=True))}" for name, cells in rows)
        drawings.append(("Hidden widths of the branches, block by block", bars(rows, names, text)))
    written = run.root / "artifacts/prune/diff.txt"
    diff = written.read_text(encoding="utf-8") if written.is_file() else architecture.diff(before, after)
    try:
        numbers = run.json("artifacts/prune/metrics.json")
    except UserError:
        numbers = {}
    return {"drawings": drawings, "diff": diff, "threshold": numbers.get("threshold")}


def _bars_label(pairs: Any) -> str:
    return ", ".join(f"{name} {after} of {before}" for name, (before, after) in pairs if before)


def _width(block: Block, kind: str, kernel: int) -> int:
    """Hidden width of a branch, 0 where the block has none."""
    return (block.conv if kind == "conv" else block.depthwise).get(str(kernel), 0)
