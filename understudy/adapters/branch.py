"""Git: a branch beside the one that it would be merged into."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from understudy.errors import UserError


@dataclass(frozen=True)
class Branch:
    """commit: what is checked out. name: for a person, with what it merges. against: the other branch, as asked for.

    base: the commit at which the two parted. changed: the files that differ between base and commit. behind: how many
    commits the other branch has had since.
    """

    commit: str
    name: str
    against: str
    base: str
    changed: tuple[str, ...]
    behind: int


def branch(root: Path, against: str) -> Branch:
    """What is checked out at `root`, beside the revision `against`.

    The merge base is what a pull request starts from, so that what others have merged meanwhile is not taken for its
    doing; of the merge commit that GitHub makes of a pull request, it is the tip of the other branch. Raises UserError
    for an unknown revision, a shallow clone, or files that are not as they were committed.
    """
    commit = _git(root, "rev-parse", "HEAD")
    _git(root, "rev-parse", "--verify", "--quiet", f"{against}^{{commit}}",
         wrong=f"--against {against}: no such revision in {root}; `git fetch origin` brings the branches")  # fmt: skip
    if edited := _git(root, "status", "--porcelain", "--untracked-files=no").splitlines():
        names = ", ".join(line.split(maxsplit=1)[1] for line in edited)
        raise UserError(f"{root}: not as committed, and what is reviewed is a commit: {names}; commit it or stash it")
    base = _git(root, "merge-base", against, "HEAD",
                wrong=f"--against {against}: no commit that it shares with HEAD; a shallow clone has no history "
                      "(actions/checkout: `fetch-depth: 0`; `git fetch --unshallow`)")  # fmt: skip
    parents = _git(root, "rev-parse", "HEAD^@").split()
    merged = f" (merge of {', '.join(parent[:7] for parent in parents[1:])})" if len(parents) > 1 else ""
    return Branch(
        commit,
        f"{commit[:7]}{merged}",
        against,
        base,
        tuple(_git(root, "diff", "--name-only", base, "HEAD").splitlines()),
        int(_git(root, "rev-list", "--count", f"HEAD..{against}")),
    )


def _git(root: Path, *arguments: str, wrong: str = "") -> str:
    """What git prints. Raises UserError when it fails: `wrong`, or its own words."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"git cannot be run: {error}") from None
    if done.returncode:
        raise UserError(wrong or f"{root}: git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip("\n")
