"""Review a branch before it is merged, and exit with its verdict.

Is dvc.lock fresh, is the data on the remote, what is the verdict, judged anew, and what differs from
the branch that it would be merged into: metrics, parameters, policy. Writes OUTPUT/review.md, and
sample pictures beside it. Exits 0 if the student passed, 3 if it failed, 4 if what was committed
cannot be had or not be believed, 5 if it is stale. infra/gate.sh runs it for pull requests.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from understudy.report.compare import Comparison, Other
    from understudy.review import Review

AGAINST = "origin/main"
OUTPUT = ".understudy/review"  # under ROOT
REVIEW, SAMPLES = "review.md", ("samples.png", "samples-before.png")  # in OUTPUT
PICTURES = "artifacts/evaluate/samples.png"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the repository (default: this one)")
    parser.add_argument("--against", metavar="REV", default=AGAINST, help=f"what to merge into (default: {AGAINST})")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=f"default: ROOT/{OUTPUT}")
    parser.add_argument("--link", metavar="ADDRESS", help="where the folder will be found by who reads review.md")


def run(arguments: argparse.Namespace) -> int:
    from understudy.errors import UserError
    from understudy.files import write_text
    from understudy.report.review import unreadable

    output = arguments.output or arguments.root / OUTPUT
    for name in (REVIEW, *SAMPLES):
        (output / name).unlink(missing_ok=True)  # of an earlier review
    try:
        with tempfile.TemporaryDirectory() as folder:
            text, code = _review(arguments.root, arguments.against, output, arguments.link, Path(folder))
    except UserError as error:
        write_text(output / REVIEW, unreadable(str(error)))
        raise
    write_text(output / REVIEW, text)
    print(text, end="")
    return code


def _review(root: Path, against: str, output: Path, link: str | None, folder: Path) -> tuple[str, int]:
    """The Markdown and the exit code. folder: for the files of both revisions."""
    from understudy.adapters.branch import branch
    from understudy.adapters.judging_code import changed_judges
    from understudy.adapters.revision import fetch
    from understudy.export.record import FILES
    from understudy.gate import EVALUATION
    from understudy.params.loader import read
    from understudy.report.compare import METRICS_FILE, Other
    from understudy.report.parameters import LOCK, PARAMS
    from understudy.report.review import Findings, markdown
    from understudy.review import JUDGED, other_changes, policy_changes
    from understudy.verdict import PATH

    beside = branch(root, against)
    mine, theirs = folder / "mine", folder / "theirs"
    _, absent = fetch(root, "HEAD", (*JUDGED, *FILES.values(), LOCK, PICTURES), mine)
    _, absent_there = fetch(root, beside.base[:12], (PARAMS, LOCK, METRICS_FILE, EVALUATION, PATH, PICTURES), theirs)
    found = _judged(root, mine, absent)
    before, after = (read(side / PARAMS) if (side / PARAMS).exists() else {} for side in (theirs, mine))
    comparison, notes = _compared(found, mine, Other(against, beside.base, theirs, absent_there))
    samples = [] if found.stale else _pictures((mine, theirs), output)
    findings = Findings(beside, found, policy_changes(before, after), other_changes(before, after),
                        changed_judges(root, beside), comparison, samples, notes)  # fmt: skip
    return markdown(findings, link), found.code


def _judged(root: Path, mine: Path, absent: Mapping[str, str]) -> "Review":
    from understudy.adapters.freshness import not_on_remote, stale
    from understudy.errors import UserError
    from understudy.review import Review, absent_for_judging, committed_verdict

    old = stale(root)
    try:
        missing = not_on_remote(root)
        if old:
            return Review(old, missing)
        if reasons := absent_for_judging(mine, absent):
            return Review(old, missing, "" if missing else "; ".join(reasons))
        return Review(old, missing, verdict=committed_verdict(mine))
    except UserError as error:
        return Review(old, problem=str(error))


def _compared(found: "Review", mine: Path, other: "Other") -> tuple["Comparison | None", list[str]]:
    """The metrics beside those of the other run, and what there is to say of them or of their absence."""
    from understudy.errors import UserError
    from understudy.report.compare import compare
    from understudy.report.gather import Run

    if found.verdict is None:
        return None, ["Metrics are compared once there is a verdict."]
    try:
        comparison = compare(Run(mine), other)
    except UserError as error:
        return None, [f"Metrics are not compared: {error}"]
    return comparison, comparison.notes


def _pictures(sides: Iterable[Path], output: Path) -> list[str]:
    """Copy the sample pictures that could be had of this branch and of the other to `output`; their names there."""
    output.mkdir(parents=True, exist_ok=True)
    found = {name: side / PICTURES for name, side in zip(SAMPLES, sides, strict=True) if (side / PICTURES).exists()}
    for name, picture in found.items():
        shutil.copyfile(picture, output / name)
    return list(found)
