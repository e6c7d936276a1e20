"""Where a run came from, and how to run it again: commit, lock, data, parameters, hashes, determinism, precision."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from understudy.errors import UserError
from understudy.files import sha256
from understudy.graph import NETWORKS, STAGES
from understudy.lineage import is_committed, lineage
from understudy.report.gather import Run
from understudy.report.parameters import LOCK

COMMIT = "git commit when this page was made"  # which commit a run was made with is recorded nowhere
CODE = "git commit of understudy itself"
PACKAGES = ("understudy", "torch", "torchvision", "numpy", "dvc")


def origin(run: Run) -> Mapping[str, Any]:
    """What a reader needs to find the very same code, data and parameters again. Nothing in here can be missing."""
    found = lineage(run.root)
    facts: dict[str, str] = {}
    facts[COMMIT] = _commit(found, "git") or "none: this run is not in a git repository, and neither is the code"
    if code := _commit(found, "code"):
        facts[CODE] = code
    uncommitted = ", not as in the last commit" if is_committed(run.root, LOCK) is False else ""
    lock = found.get("dvc_lock_sha256")
    facts["dvc.lock, SHA-256"] = f"{lock}{uncommitted}" if lock else "none: this run was not made by DVC"
    evaluation, files = _evaluation(run)
    facts["data"] = str(evaluation.get("dataset", "not evaluated yet"))
    facts["seed"] = str(evaluation.get("seed", "not evaluated yet"))
    evaluated = {"evaluate": str(evaluation["determinism"])} if "determinism" in evaluation else {}
    facts["determinism"] = _by_stage(evaluated | _recorded(run, "determinism"))
    facts["precision of training"] = _by_stage(_recorded(run, "precision"))
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts["this page"] = f"{now}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    facts["packages"] = ", ".join(f"{name} {number}" for name in PACKAGES if (number := _version(name)))
    return {"facts": facts, "files": [(name, str(recorded), _now(run, name, recorded))
                                      for name, recorded in files.items()]}  # fmt: skip


def _commit(found: Mapping[str, str], whose: str) -> str:
    """What lineage found of a repository, in words; empty where there is none."""
    changed = " with changes that are not committed" if found.get(f"{whose}_dirty") == "true" else ""
    return f"{found[f'{whose}_commit']}{changed}" if f"{whose}_commit" in found else ""


def _evaluation(run: Run) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        return run.evaluation, run.evaluation["files"]
    except UserError:
        return {}, {}


def _recorded(run: Run, what: str) -> dict[str, str]:
    """What each network's stage recorded of itself with its metrics."""
    found = {}
    for stage in NETWORKS.values():
        try:
            found[stage] = str(run.json(f"artifacts/{stage}/metrics.json")[what])
        except (UserError, KeyError, TypeError):
            continue
    return found


def _by_stage(said: Mapping[str, str]) -> str:
    return ", ".join(f"{stage} {word}" for stage, word in said.items()) or "not recorded"


def _now(run: Run, name: str, recorded: object) -> str:
    try:
        return "the same" if sha256(run.root / name) == recorded else "changed since"
    except UserError:
        return "not here"


def commands(run: Run, facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """(command, what it does), in the order in which they are typed."""
    commit, _, changes = facts[COMMIT].partition(" ")
    less = ", less its changes that are not committed" if changes else ""
    lines = [] if commit == "none:" else [(f"git checkout {commit}", f"what this page was made of{less}")]
    lines += [
        ("make setup", "the environment, every version pinned"),
        (". .venv/bin/activate", "so that the commands below are found"),
    ]
    if not (run.root / "dvc.lock").exists():
        return [*lines, *_by_hand(run)]
    return [
        *lines,
        ("understudy run", "everything that is stale, the verdict, the registry, this page"),
        ("dvc repro -f", "every stage again, whether stale or not"),
        ("dvc checkout", "only restore this run's files from the cache, and train nothing"),
        ("understudy gate", "the verdict again: exits 0 passed, 3 failed"),
        ("understudy report", "this page again"),
    ]


def _by_hand(run: Run) -> list[tuple[str, str]]:
    """The stages one by one: a root outside DVC is made like that."""
    end = f"--root {run.root}"
    return [*((f"python -m stages.{stage} {end}", "") for stage in STAGES),
            (f"understudy report --root {run.root}", "this page again")]  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
