"""Register the student and make it champion, if it may be.

Its verdict must have passed, by the policy as it is now, and speak of these very files, and it must
keep its bounds against the champion. No server is needed: the store is ROOT/mlflow.db, or what
MLFLOW_TRACKING_URI names. Exits 3, with every reason, when the student is refused. Promoting the
same files twice changes nothing.
"""

import argparse
from pathlib import Path

from understudy.errors import OK


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")
    parser.add_argument("--params", type=Path, help="its `registry` names the model, its `gate` is the policy "
                                                    "(default: ROOT/params.yaml)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from understudy.params.gate import Gate
    from understudy.params.loader import load
    from understudy.params.registry import Registry

    sections = load(arguments.params or arguments.root / "params.yaml", (Registry, Gate))

    # MLflow takes seconds to import: not before the parameters are right.
    from understudy.adapters.registry import promote

    done = promote(arguments.root, sections[Registry], sections[Gate])
    replaced = f", in place of version {done.replaced}" if done.replaced else ""
    print(f"champion: {done.model} version {done.version}{' (new)' if done.registered else ''}{replaced}")
    for note in done.notes:
        print(f"  {note}")
    print(f"use it: understudy translate INPUT --output DIR --with models:/{done.model}@champion")
    return OK
