"""Where a file or a run came from: the git commits, DVC's lock, and the hashes of what a stage read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from understudy.files import sha256
from understudy.git import git_or_none

CODE = Path(__file__).parent


def lineage(root: Path) -> dict[str, str]:
    """git_commit and git_dirty (`true` or `false`) of the repository that `root` is in, and dvc_lock_sha256 of `root`.

    The code that runs may be in another repository, of a project that uses it: then code_commit and code_dirty tell of
    that. Where `root` is in none, git_commit and git_dirty are the code's. What does not exist is left out: a copy
    without git history has no commit, a run outside DVC has no lock.
    """
    project, code = _state(root, "."), _state(CODE, Path(__file__).name)
    found = _named("git", project or code)
    if project and code != project:
        found |= _named("code", code)
    if (lock := root / "dvc.lock").exists():
        found["dvc_lock_sha256"] = sha256(lock)
    return found


def _state(folder: Path, known: str) -> tuple[str, str] | None:
    """The commit of the repository that a folder is in, and whether its tree is another; None where it is in none.

    A folder inside a repository is not of it (an environment, a scratch folder) unless git knows `known` in it.
    """
    if git_or_none(folder, "ls-files", "--error-unmatch", known) is None:
        return None
    if (commit := git_or_none(folder, "rev-parse", "HEAD")) is None:
        return None
    return commit, str(bool(git_or_none(folder, "status", "--porcelain", "--untracked-files=no"))).lower()


def _named(whose: str, state: tuple[str, str] | None) -> dict[str, str]:
    return dict(zip((f"{whose}_commit", f"{whose}_dirty"), state, strict=True)) if state else {}


def is_committed(root: Path, name: str) -> bool | None:
    """Whether ROOT/`name` is as in the last commit of the repository that `root` lies in; None where there is none."""
    if git_or_none(root, "rev-parse", "--verify", "HEAD") is None:
        return None
    tracked = git_or_none(root, "ls-files", "--error-unmatch", name) is not None
    return tracked and git_or_none(root, "diff", "--quiet", "HEAD", "--", name) is not None


def dependencies(root: Path, stage: str) -> dict[str, str]:
    """Path -> MD5 (DVC's own) of what `stage` reads of other stages, by dvc.yaml and dvc.lock.

    DVC locks a stage's own entry only after it ended, so a running stage finds its inputs among the outputs of others.
    Code is not among them: the git commit names it. Empty outside DVC.
    """
    graph, locked = _yaml(root / "dvc.yaml"), outputs(_yaml(root / "dvc.lock"))
    read = graph.get("stages", {}).get(stage, {}).get("deps", [])
    return {path: locked[path] for path in read if path in locked}


def outputs(lock: Mapping[str, Any]) -> dict[str, str]:
    """Path -> MD5 of every stage's outputs, folders aside. lock: dvc.lock as read."""
    return {
        output["path"]: output["md5"]
        for entry in lock.get("stages", {}).values()
        for output in entry.get("outs", [])
        if "md5" in output
    }


def _yaml(path: Path) -> dict:
    """A YAML mapping, or an empty one where there is no such file."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}
