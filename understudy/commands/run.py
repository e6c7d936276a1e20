"""Run the whole pipeline: what is stale, then the verdict, the registry, one table and one page.

`dvc repro` with ROOT/params.yaml (`understudy recipe use` puts another recipe there), `understudy gate`,
`understudy promote` when the gate passed, `understudy track` unless UNDERSTUDY_TRACKING=off,
`understudy summary` and `understudy report`. Exits with the gate's code, 0 passed or 3 failed, or
with that of a promotion that was refused. When a stage fails, the report says which and why.
"""

import argparse
import os
import sys
from pathlib import Path
from types import ModuleType

from understudy.commands import gate, promote, report, summary, track
from understudy.errors import INTERRUPTED, OK, PREEMPTED, UserError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: this folder)")
    # What the verbs below are asked on their own.
    parser.set_defaults(params=None, markdown=False, output=None, against=None)


def run(arguments: argparse.Namespace) -> int:
    from understudy.adapters.dvc import repro
    from understudy.params.active import load_all

    load_all(arguments.root / "params.yaml")  # a misspelt bound of the gate is found now, not after the training
    try:
        repro(arguments.root)
    except UserError as error:
        if error.code not in (PREEMPTED, INTERRUPTED):  # stopped from outside, it goes on later: nothing to report yet
            _attempt(report, arguments)
        raise
    code = _attempt(gate, arguments)
    if code == OK:
        code = _attempt(promote, arguments)
    if os.environ.get("UNDERSTUDY_TRACKING") != "off" and _attempt(track, arguments) != OK:
        print("the logs above are not delivered yet; that changes nothing about the student", file=sys.stderr)
    # Last and in any case: a student that is refused has numbers that are wanted all the same.
    shown = _attempt(summary, arguments)
    written = _attempt(report, arguments)
    return code or shown or written


def _attempt(verb: ModuleType, arguments: argparse.Namespace) -> int:
    """The verb's exit code. What it says in an error is said here, since the verbs after it still run."""
    print(flush=True)
    try:
        return verb.run(arguments)
    except UserError as error:
        print(f"understudy {verb.__name__.rpartition('.')[2]}: {error}", file=sys.stderr)
        return error.code
