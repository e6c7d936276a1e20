"""Print the verdict on the student, and exit with it.

The gate stage made it, rule by rule. Exits 0 if the student passed, 3 if it failed, 4 if there is
no verdict that can be read.
"""

import argparse
from pathlib import Path

from understudy.errors import GATE_FAILED, OK


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")


def run(arguments: argparse.Namespace) -> int:
    from understudy.verdict import PATH, read_verdict, report

    verdict = read_verdict(arguments.root / PATH)
    print(report(verdict), end="")
    return OK if verdict.passed else GATE_FAILED
