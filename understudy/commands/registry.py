"""The model registry: what is there, what may become champion, and the way back.

  list              every version, what was decided of it, and by which numbers
  show VERSION      one version in full; VERSION is a number, an alias, or a git commit
  diff A B          metrics, policy, origin and widths of two versions
  promote           register the student in ROOT, and make it champion if its verdict passed and it
                    keeps its bounds against the present champion, measured anew on the same data
  rollback          make the champion before this one champion again (or --to VERSION); with
                    --from VERSION, the champion now, the same command may be repeated
  verify [VERSION]  download it again, recompute hashes and verdict, measure it anew (the champion)

No server is needed: the store is ROOT/mlflow.db, or what MLFLOW_TRACKING_URI names. `promote` exits
3, with every reason, when the student is refused; promoting the same files under the same verdict
twice changes nothing. `verify` exits 3 when something is wrong, 4 when the data or the judge that
the version was measured with are not at hand.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.errors import DATA_FAILED, GATE_FAILED, OK

if TYPE_CHECKING:
    from understudy.params.gate import Gate
    from understudy.params.registry import Registry
    from understudy.remeasure import Scoring


def configure(parser: argparse.ArgumentParser) -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")
    common.add_argument("--params", type=Path, help="its `registry` names the model, its `gate` is the policy "
                                                    "(default: ROOT/params.yaml)")  # fmt: skip
    common.add_argument("--model", help="another model of the registry (default: the parameters' registry.model)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made = actions.add_parser(name, parents=[common])
        made.set_defaults(act=run)
        return made

    action("list", _list)
    action("show", _show).add_argument("version", help="number, alias or git commit")
    pair = action("diff", _diff)
    pair.add_argument("first", help="number, alias or git commit")
    pair.add_argument("second", help="likewise")
    action("promote", promote).add_argument("--again", action="store_true",
                                            help="although the version was rolled back from")  # fmt: skip
    back = action("rollback", _rollback)
    back.add_argument("--to", metavar="VERSION", help="a former champion (default: the one before)")
    back.add_argument(
        "--from", metavar="VERSION", dest="leaving", help="only if this is the champion: repeating it is safe"
    )
    back.add_argument("--reason", default="", help="kept in the ledger")
    action("verify", _verify).add_argument(
        "version", nargs="?", help="number, alias or git commit (default: the champion)"
    )


def run(arguments: argparse.Namespace) -> int:
    return arguments.act(arguments)


def promote(arguments: argparse.Namespace) -> int:
    """Register the student and make it champion, if it may be. arguments: root, params, model, again."""
    registry, gate, scoring = _registry(arguments), *_judging(arguments)

    # MLflow takes seconds to import: not before the parameters are right.
    from understudy.adapters.promoting import promote

    done = promote(arguments.root, registry, gate, scoring, arguments.again)
    replaced = f", in place of version {done.replaced}" if done.replaced else ""
    print(f"champion: {done.model} version {done.version}{' (new)' if done.registered else ''}{replaced}")
    for note in done.notes:
        print(f"  {note}")
    print(f"use it: understudy translate INPUT --output DIR --with models:/{done.model}@champion")
    return OK


def _list(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments)
    from understudy.adapters.registry_views import listing

    print(listing(arguments.root, registry), end="")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments)
    from understudy.adapters.registry_views import showing

    print(showing(arguments.root, registry, arguments.version), end="")
    return OK


def _diff(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments)
    from understudy.adapters.registry_views import differing

    print(differing(arguments.root, registry, arguments.first, arguments.second), end="")
    return OK


def _rollback(arguments: argparse.Namespace) -> int:
    registry = _registry(arguments)
    from understudy.adapters.rolling_back import rollback

    done = rollback(arguments.root, registry, arguments.to, arguments.reason, arguments.leaving)
    print(f"champion: {done.model} version {done.version}, in place of version {done.replaced}")
    return OK


def _verify(arguments: argparse.Namespace) -> int:
    registry, gate, scoring = _registry(arguments), *_judging(arguments)
    from understudy.adapters.verifying import verify

    found = verify(arguments.root, registry, gate, scoring, arguments.version)
    print(f"{found.model} version {found.version}")
    for check in found.checks:
        print(f"  {'WRONG' if check.wrong else 'ok':5}  {check.what}")
        for wrong in check.wrong:
            print(f"         {wrong}")
    for note in found.notes:
        print(f"  {note}")
    if found.unmeasured:
        print(f"  it was not measured anew: {found.unmeasured}", file=sys.stderr)
    return GATE_FAILED if not found.clean else DATA_FAILED if found.unmeasured else OK


def _registry(arguments: argparse.Namespace) -> "Registry":
    from understudy.params.registry import Registry

    registry = _sections(arguments, (Registry,))[Registry]
    return registry if arguments.model is None else replace(registry, model=arguments.model)


def _judging(arguments: argparse.Namespace) -> "tuple[Gate, Scoring]":
    """The policy, and how students are measured."""
    from understudy.params.base import Base
    from understudy.params.evaluate import Evaluate
    from understudy.params.gate import Gate
    from understudy.params.runtime import Runtime
    from understudy.params.scoring import Scoring

    sections = _sections(arguments, (Gate, Base, Runtime, Evaluate))
    return sections[Gate], Scoring(sections[Base], sections[Runtime], sections[Evaluate])


def _sections(arguments: argparse.Namespace, wanted: tuple[type, ...]) -> Mapping[type, Any]:
    from understudy.params.loader import load

    return load(arguments.params or arguments.root / "params.yaml", wanted)
