"""Run the whole pipeline: what is stale, then the verdict, the registry, one table and one page.

`dvc repro` with ROOT/params.yaml (`understudy recipe use` puts another recipe there), `understudy gate`,
`understudy registry promote` when the gate passed, `understudy track` unless UNDERSTUDY_TRACKING=off,
`understudy summary` and `understudy report`. Exits with the gate's code, 0 passed or 3 failed, or
with that of a promotion that was refused. When a stage fails, the report says which and why.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from understudy.commands import gate, registry, report, summary, track
from understudy.errors import OK, UNEXPECTED, UserError
from understudy.graph import STOPPED


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: this folder)")
    # What the verbs below are asked on their own.
    parser.set_defaults(params=None, markdown=False, output=None, against=None, model=None, again=False)


def run(arguments: argparse.Namespace) -> int:
    from understudy.adapters.dvc import repro
    from understudy.params.active import load_all

    load_all(arguments.root / "params.yaml")  # a misspelt bound of the gate is found now, not after the training
    try:
        repro(arguments.root)
    except UserError as error:
        if error.code not in STOPPED:  # stopped from outside, it goes on later: nothing to report yet
            _show(report, arguments)
        raise
    code = _attempt("gate", gate.run, arguments)
    if code == OK:
        code = _attempt("registry promote", registry.promote, arguments)
    if os.environ.get("UNDERSTUDY_TRACKING") != "off" and _attempt("track", track.run, arguments) != OK:
        print("the logs above are not delivered yet; that changes nothing about the student", file=sys.stderr)
    # Last and in any case: a student that is refused has numbers that are wanted all the same.
    shown = _show(summary, arguments)
    written = _show(report, arguments)
    return code or shown or written


def _attempt(name: str, verb: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """The verb's exit code. What it says in an error is said here, since the verbs after it still run."""
    print(flush=True)
    try:
        return verb(arguments)
    except UserError as error:
        print(f"understudy {name}: {error}", file=sys.stderr)
        return error.code


def _show(verb: ModuleType, arguments: argparse.Namespace) -> int:
    """As `_attempt`; a bug of what only shows a run is told here too, so that the run keeps its own exit code."""
    try:
        return _attempt(_name(verb), verb.run, arguments)
    except BrokenPipeError:  # the reader of it all has left, which is no bug
        raise
    except Exception as error:
        traceback.print_exc()
        print(f"understudy {_name(verb)}: {type(error).__name__}: {error}", file=sys.stderr)
        return UNEXPECTED


def _name(verb: ModuleType) -> str:
    return verb.__name__.rpartition(".")[2]
