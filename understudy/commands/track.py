"""Deliver what training has logged to the local MLflow store.

Runs, parameters, metrics by step and sample grids come from the stages' own log files. What is
already there is not sent twice, so that this can run while a stage trains, after it, or again.
"""

import argparse
from pathlib import Path

from understudy.errors import OK


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds .understudy/ (default: this one)")


def run(arguments: argparse.Namespace) -> int:
    from understudy.adapters.tracking import deliver

    deliver(arguments.root)
    return OK
