"""Run the whole pipeline: what is stale, then the verdict, the registry, and one table.

`dvc repro` with ROOT/params.yaml (`understudy recipe use` puts another recipe there), `understudy gate`,
`understudy promote` when the gate passed, `understudy track` unless UNDERSTUDY_TRACKING=off, and
`understudy summary`. Exits with the gate's code, 0 passed or 3 failed, or with that of a promotion
that was refused.
"""

import argparse
import os
import sys
from pathlib import Path
from types import ModuleType

from understudy.commands import gate, promote, summary, track
from understudy.errors import OK, UserError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: this folder)")
    parser.set_defaults(params=None, markdown=False)  # what the verbs below are asked on their own


def run(arguments: argparse.Namespace) -> int:
    from understudy.adapters.dvc import repro
    from understudy.params.active import load_all

    load_all(arguments.root / "params.yaml")  # a misspelt bound of the gate is found now, not after the training
    repro(arguments.root)
    code = _attempt(gate, arguments)
    if code == OK:
        code = _attempt(promote, arguments)
    if os.environ.get("UNDERSTUDY_TRACKING") != "off" and _attempt(track, arguments) != OK:
        print("the logs above are not delivered yet; that changes nothing about the student", file=sys.stderr)
    # Last and in any case: a student that is refused has numbers that are wanted all the same.
    shown = _attempt(summary, arguments)
    return code or shown


def _attempt(verb: ModuleType, arguments: argparse.Namespace) -> int:
    """The verb's exit code. What it says in an error is said here, since the verbs after it still run."""
    print(flush=True)
    try:
        return verb.run(arguments)
    except UserError as error:
        print(f"understudy {verb.__name__.rpartition('.')[2]}: {error}", file=sys.stderr)
        return error.code
