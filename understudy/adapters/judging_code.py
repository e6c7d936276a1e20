"""What a branch changed of that which judges it: with such changes it could judge itself, and a reviewer must look."""

from pathlib import Path

import yaml

from understudy.adapters.branch import Branch
from understudy.git import file_at
from understudy.imports import closure

# Whatever these import decides what is said. `understudy.cli` starts it, and loads every verb's file on the way.
MODULES = ("stages.gate", "understudy.commands.review", "understudy.adapters.github")
STARTED_BY, VERBS = "understudy/cli.py", "understudy/commands/"
# What installs and calls them. Any line of a Makefile can change what its targets do.
GLUE = (".github/workflows/gate.yml", "infra/gate.sh", "Makefile", "pyproject.toml", "requirements.lock")
GRAPH, STAGE = "dvc.yaml", "gate"


def changed_judges(root: Path, beside: Branch) -> list[str]:
    """The changed files that a verdict or its review is made by, and the gate's stage of dvc.yaml if it is another."""
    code = {STARTED_BY, *GLUE, *(file for module in MODULES for file in closure(module, root))}
    found = sorted(name for name in beside.changed if name in code or name.startswith(VERBS))
    if GRAPH in beside.changed and _stage(root, beside.base) != _stage(root, beside.commit):
        found.append(f"{GRAPH} (stage {STAGE})")
    return found


def _stage(root: Path, revision: str) -> object:
    """The gate's stage as it is at a revision; None where there is none to be read."""
    try:
        return yaml.safe_load(file_at(root, revision, GRAPH) or b"")["stages"][STAGE]
    except (yaml.YAMLError, KeyError, TypeError):
        return None
