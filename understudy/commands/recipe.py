"""List, show and use the recipes: complete files for params.yaml."""

import argparse
from pathlib import Path

from understudy.errors import OK

FOLDER, GRAPH = Path("recipes"), Path("dvc.yaml")


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every recipe, and what it is for")
    show = actions.add_parser("show", help="print a recipe")
    show.add_argument("name", metavar="NAME")
    use = actions.add_parser("use", help="make a recipe the active params.yaml")
    use.add_argument("name", metavar="NAME")
    use.add_argument("--params", type=Path, default=Path("params.yaml"), help="file to replace (default: %(default)s)")
    use.add_argument("--force", action="store_true", help="replace it even if it has been edited")


def run(arguments: argparse.Namespace) -> int:
    from understudy.recipes import find, recipes

    if arguments.action == "list":
        known = recipes(FOLDER)
        width = max(len(recipe.name) for recipe in known)
        for recipe in known:
            print(f"{recipe.name:{width}}  {recipe.about}")
    elif arguments.action == "show":
        print(find(FOLDER, arguments.name).path.read_text(encoding="utf-8"), end="")
    else:
        _use(arguments)
    return OK


def _use(arguments: argparse.Namespace) -> None:
    from understudy.recipes import find, readers, use

    changes = use(find(FOLDER, arguments.name), arguments.params, arguments.force)
    print(f"{arguments.params} is now recipe {arguments.name}: {len(changes) or 'no'} changed value(s)")
    for change in changes:
        print(f"  {change.key}: {_shown(change.before)} -> {_shown(change.after)}")
    if changes and GRAPH.exists():
        stages = readers(changes, GRAPH)
        print(f"Stages whose parameters changed: {', '.join(stages) or 'none'}. "
              "`dvc repro` runs them and what depends on them.")  # fmt: skip


def _shown(value: object) -> str:
    return "(not set)" if value is None else str(value)
