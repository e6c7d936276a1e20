"""The tables after a run: quality, cost, latency, exported files and the verdict.

Teacher, student and undistilled baseline side by side, and where to look next.
"""

import argparse
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import OK, UserError

if TYPE_CHECKING:
    from understudy.report.tables import Table

WIDTH = 100  # columns


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")
    parser.add_argument("--markdown", action="store_true", help="verdict and tables alone, as Markdown for a document")


def run(arguments: argparse.Namespace) -> int:
    root = arguments.root
    tables = [*_tables(root), *_exports(root)]
    if arguments.markdown:
        print("\n\n".join((_verdict_markdown(root), *(table.markdown() for table in tables))))
        return OK

    from understudy.report.tables import next_steps

    print("\n\n".join(table.text() for table in tables))
    print("\nVerdict")
    _print_indented(_verdict(root))
    print("\nWhere to look next")
    _print_indented(next_steps(root))
    return OK


def _tables(root: Path) -> "Sequence[Table]":
    from understudy.files import read_json
    from understudy.gate import EVALUATION
    from understudy.graph import LATENCY
    from understudy.report.tables import tables

    evaluation, latency = root / EVALUATION, root / LATENCY
    if not evaluation.exists():
        raise UserError(f"{evaluation}: no such file; `dvc repro` makes it")
    try:
        return tables(read_json(evaluation), read_json(latency) if latency.exists() else None)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{evaluation} or {latency}: not what evaluate writes ({error!r}); run `dvc repro -sf evaluate`"
        ) from None


def _exports(root: Path) -> "Sequence[Table]":
    from understudy.report.exports import exports_or_reason
    from understudy.report.gather import Run

    return exports_or_reason(Run(root))


def _verdict(root: Path) -> list[str]:
    """The verdict in a line, and every reason to fail. A run whose verdict cannot be read still has its tables."""
    from understudy.verdict import PATH, read_verdict

    try:
        verdict = read_verdict(root / PATH)
    except UserError as error:
        return [f"none: {error}"]
    if verdict.passed:
        return ["PASSED: the student met its bar (understudy gate: rule by rule)"]
    return ["FAILED: the student did not meet its bar", *verdict.failures()]


def _verdict_markdown(root: Path) -> str:
    """Every rule of the verdict as a table, or why there is none."""
    from understudy.report.tables import verdict_table
    from understudy.verdict import PATH, read_verdict

    try:
        return verdict_table(read_verdict(root / PATH)).markdown()
    except UserError as error:
        return f"**Verdict: none**\n\n{error}"


def _print_indented(lines: Iterable[str]) -> None:
    for line in lines:
        print(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
                            break_on_hyphens=False))  # fmt: skip
