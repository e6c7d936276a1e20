"""Where a file or a run came from: the git commit, DVC's lock, and the hashes of what a stage read."""

from pathlib import Path

import yaml

from understudy.files import sha256
from understudy.git import git_or_none

CODE = Path(__file__).parent


def lineage(root: Path) -> dict[str, str]:
    """git_commit and git_dirty (`true` or `false`) of the code that runs, and dvc_lock_sha256 of `root`.

    What does not exist is left out: a copy without git history has no commit, a run outside DVC has no lock. The commit
    is not `root`'s, which may lie in some other repository.
    """
    found = {}
    # An environment inside a repository is not of it: git must know the code's own files.
    tracked = git_or_none(CODE, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    if tracked and (commit := git_or_none(CODE, "rev-parse", "HEAD")) is not None:
        found["git_commit"] = commit
        found["git_dirty"] = str(bool(git_or_none(CODE, "status", "--porcelain", "--untracked-files=no"))).lower()
    if (lock := root / "dvc.lock").exists():
        found["dvc_lock_sha256"] = sha256(lock)
    return found


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
    graph, lock = _yaml(root / "dvc.yaml"), _yaml(root / "dvc.lock")
    locked = {
        output["path"]: output["md5"]
        for entry in lock.get("stages", {}).values()
        for output in entry.get("outs", [])
        if "md5" in output
    }
    read = graph.get("stages", {}).get(stage, {}).get("deps", [])
    return {path: locked[path] for path in read if path in locked}


def _yaml(path: Path) -> dict:
    """A YAML mapping, or an empty one where there is no such file."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}
