"""Whether a registered version came from where its tags say: by its own verdict, and by git and DVC's lock in ROOT."""

import hashlib
from pathlib import Path

import yaml

from understudy.adapters.registry import FOUND, NETWORK, Registered
from understudy.git import file_at
from understudy.lineage import outputs
from understudy.verdict import read_verdict

LOCK = "dvc.lock"


def origin(root: Path, got: Registered) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with a version's tags, each in a sentence; and what of them cannot be looked at in `root`, and why.

    The lock can be looked at where ROOT's repository has the version's commit, and nothing was changed beside it.
    """
    verdict, tags = read_verdict(got.files["verdict"]), got.tags
    known = {"data_sha256": verdict.data_sha256, "judge_sha256": verdict.judge_sha256}
    wrong = [f"the tag {name} is {tags.get(name)}, its verdict says {value}" for name, value in known.items()
             if tags.get(name) != value]  # fmt: skip
    lock, commit = tags.get("dvc_lock_sha256"), tags.get("git_commit", "")
    if lock is None:
        return tuple(wrong), ()
    unseen = f"its {LOCK} was not looked at: "
    if not commit:
        return tuple(wrong), (f"{unseen}it came from no repository of git",)
    if tags.get("git_dirty") != "false":
        return tuple(wrong), (f"{unseen}it came from changes that were not committed",)
    if (content := file_at(root, commit, LOCK)) is None:
        return tuple(wrong), (f"{unseen}the repository of {root} has none at {commit[:12]}",)
    if hashlib.sha256(content).hexdigest() != lock:
        return (*wrong, f"the tag dvc_lock_sha256 is not that of {LOCK} at {commit[:12]}"), ()
    locked = outputs(yaml.safe_load(content) or {})
    wrong += [f"{path}: is not the file that {LOCK} at {commit[:12]} speaks of"
              for name, path in {**NETWORK, **FOUND}.items()
              if path in locked and name in got.files and _md5(got.files[name]) != locked[path]]  # fmt: skip
    return tuple(wrong), ()


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
