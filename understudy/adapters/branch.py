"""Git: a branch beside the one that it would be merged into."""

from dataclasses import dataclass
from pathlib import Path

from understudy.errors import UserError
from understudy.git import git


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
    commit = git(root, "rev-parse", "HEAD")
    git(root, "rev-parse", "--verify", "--quiet", f"{against}^{{commit}}",
        wrong=f"--against {against}: no such revision in {root}; `git fetch origin` brings the branches")  # fmt: skip
    if edited := git(root, "status", "--porcelain", "--untracked-files=no").splitlines():
        names = ", ".join(line.split(maxsplit=1)[1] for line in edited)
        raise UserError(f"{root}: not as committed, and what is reviewed is a commit: {names}; commit it or stash it")
    base = git(root, "merge-base", against, "HEAD",
               wrong=f"--against {against}: no commit that it shares with HEAD; a shallow clone has no history "
                     "(actions/checkout: `fetch-depth: 0`; `git fetch --unshallow`)")  # fmt: skip
    parents = git(root, "rev-parse", "HEAD^@").split()
    merged = f" (merge of {', '.join(parent[:7] for parent in parents[1:])})" if len(parents) > 1 else ""
    return Branch(
        commit,
        f"{commit[:7]}{merged}",
        against,
        base,
        tuple(git(root, "diff", "--name-only", base, "HEAD").splitlines()),
        int(git(root, "rev-list", "--count", f"HEAD..{against}")),
    )
