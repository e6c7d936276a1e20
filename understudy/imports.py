"""Which of the project's own files a module needs: what DVC must watch, and what a registered model brings along."""

import ast
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("understudy", "stages")


def closure(module: str, root: Path) -> list[str]:
    """The repository's own files that `module` imports, itself included, transitively, wherever the import stands.

    Paths relative to `root`, sorted. `__init__.py` files are left out: they are empty.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        file = root / (waiting.pop().replace(".", "/") + ".py")
        name = file.relative_to(root).as_posix()
        if name in found or not file.exists():
            continue
        found.add(name)
        waiting.extend(_imports(file))
    return sorted(found)


def _imports(file: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import module` names a module; `from module import thing` names none, and finds no file.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in PACKAGES)
