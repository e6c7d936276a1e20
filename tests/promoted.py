"""A folder and its store in which students are promoted: what tests of the registry do and look at."""

import shutil
from pathlib import Path

import pytest
from tiny_students import MODEL, POLICY, SCORING

from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.adapters.verifying import verify
from understudy.errors import UserError
from understudy.params.gate import Gate
from understudy.params.registry import Registry

REGISTRY = Registry(MODEL)


def take(made: Path, name: str, root: Path) -> Gate:
    """Put a run into `root`; returns its policy."""
    shutil.copytree(made / name, root, dirs_exist_ok=True)
    return Gate(POLICY, "params.yaml: gate")


def champions(root: Path) -> dict[str, str]:
    found = connect(root).client.get_registered_model(MODEL).aliases
    return {alias: str(version) for alias, version in found.items()}


def wrong(root: Path, gate: Gate, version: str | None = None) -> str:
    return "\n".join(said for check in verify(root, REGISTRY, gate, SCORING, version).checks for said in check.wrong)


def stored(root: Path, version: str) -> Path:
    """Where the files of a version lie."""
    return Path(connect(root).client.get_model_version(MODEL, version).source.removeprefix("file://"))


def refuse_the_worse(made, root, registered):
    """Have version 3 refused; the store, and the ledger as it is kept there and as it is read."""
    take(made, "worse", root)
    with pytest.raises(UserError, match="stays challenger"):
        promote(root, REGISTRY, registered, SCORING)
    store = connect(root)
    ledgers = LedgerStore.open(store, MODEL)
    return store, ledgers, ledgers.read()
