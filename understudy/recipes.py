"""Recipes: complete parameter files by name, any of which can become the active params.yaml.

A recipe is a whole file and no overlay, so that what runs can be read from top to bottom in one place. Its first line
is a comment that says what it is for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import write_text
from understudy.params.active import load_all
from understudy.params.leaves import Change, differences
from understudy.params.loader import read


@dataclass(frozen=True)
class Recipe:
    """One file of the recipe folder. name: the file's, without its suffix. about: its first line, in one sentence."""

    name: str
    path: Path
    about: str


def recipes(folder: Path) -> list[Recipe]:
    """Every recipe of `folder`, by name. Raises UserError when there is none, or one lacks its first line."""
    found = [Recipe(path.stem, path, _about(path)) for path in sorted(folder.glob("*.yaml"))]
    if not found:
        raise UserError(f"{folder}: holds no recipe; run this where the project's recipes folder is")
    return found


def find(folder: Path, name: str) -> Recipe:
    """The recipe called `name`. Raises UserError that names the others."""
    known = recipes(folder)
    for recipe in known:
        if recipe.name == name:
            return recipe
    raise UserError(f"no recipe {name!r} in {folder}; there are: {', '.join(recipe.name for recipe in known)}")


def use(recipe: Recipe, params: Path, force: bool = False) -> list[Change]:
    """Make `recipe` the active parameter file and return what it changed.

    The recipe is checked whole before anything is written, and the file is replaced at once. Raises UserError when the
    recipe is not valid, or when `params` has been edited (it equals no recipe beside this one) and `force` is not set.
    """
    load_all(recipe.path)
    text = recipe.path.read_text(encoding="utf-8")
    current = params.read_text(encoding="utf-8") if params.exists() else None
    if current is not None and not force:
        shipped = [path.read_text(encoding="utf-8") for path in sorted(recipe.path.parent.glob("*.yaml"))]
        if current not in shipped:
            raise UserError(
                f"{params} has been edited: it equals no recipe, and its values would be lost. Save it as "
                f"{recipe.path.parent}/NAME.yaml, or give --force"
            )
    changes = differences(_readable(params), read(recipe.path))
    if current != text:
        write_text(params, text)
    return changes


def readers(changes: list[Change], graph: Path) -> list[str]:
    """The stages of `graph` (a dvc.yaml) whose own parameters are among the changes, in the graph's order.

    What depends on them runs again too. Raises UserError when the file is missing or no graph.
    """
    stages = read(graph).get("stages")
    if not isinstance(stages, Mapping):
        raise UserError(f"{graph}: expected a mapping under `stages`")
    keys = [change.key for change in changes]
    return [name for name, stage in stages.items() if any(_reads(entry, keys) for entry in stage.get("params", ()))]


def _reads(entry: str | Mapping[str, list[str] | None], keys: list[str]) -> bool:
    """Whether one entry of a stage's `params:` covers a key: a name, or names under the file that holds them."""
    if isinstance(entry, str):
        return any(key == entry or key.startswith(f"{entry}.") for key in keys)
    return any(_reads(name, keys) for names in entry.values() for name in names or ())


def _readable(params: Path) -> dict[str, Any]:
    """The values of a file that is about to be replaced: a missing or broken one has none."""
    try:
        return read(params)
    except UserError:
        return {}


def _about(path: Path) -> str:
    """The comment that a recipe starts with."""
    try:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if not first.startswith("# "):
        raise UserError(f"{path}: the first line must be a comment that says what the recipe is for")
    return first[2:].strip()
