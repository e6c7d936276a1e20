"""Run the whole pipeline: what is stale, then the verdict, the registry, and one table.

`dvc repro`, delivery of the logs to MLflow, `understudy gate`, `understudy promote` when the gate passed, and
`understudy summary`. Exits with the gate's code: 0 passed, 3 failed.
"""

import argparse
from pathlib import Path

from understudy.commands import gate, promote, summary, track
from understudy.errors import OK


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: this folder)")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="parameter file (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    from understudy.adapters.dvc import repro

    repro(arguments.root)
    track.run(arguments)
    print()
    verdict = gate.run(arguments)
    print()
    try:
        if verdict == OK:
            promote.run(arguments)
            print()
    finally:  # a student that the champion beats is refused with an error; its numbers are wanted all the same
        arguments.markdown = False
        summary.run(arguments)
    return verdict
