"""The branch that nights work on, and what the nights before left there."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from understudy.adapters.run_branch import open_run, run_branches
from understudy.adapters.workspace import RESULTS, Workspace, clone, commit, lead_to_local_data
from understudy.errors import UserError
from understudy.git import git, git_or_none

NIGHT = "nightly"  # in the place of a run's id


def open_night(folder: Path, recipe: str | None, revision: str) -> Workspace:
    """A clone in `folder` of the branch of this recipe and commit, which is made if it is not there yet.

    One that is made takes the results of the night before along, so that DVC tells what of them is stale at this
    commit; unless the project has committed results of its own since. Raises UserError as `open_run` does.
    """
    here = open_run(folder, recipe, revision, NIGHT)
    before, base = _night_before(here), _base(here.branch)
    if before and _same_results(here, base, "HEAD") and _same_results(here, _base(before), base):
        there = [name for name in RESULTS if git(here.root, "ls-tree", f"origin/{before}", "--", name)]
        if there:
            git(here.root, "checkout", f"origin/{before}", "--", *there)
        if git(here.root, "diff", "--cached", "--name-only"):
            commit(here.root, f"results of {before}")
            here.push()
    return here


def changed_by(here: Workspace, since: str) -> list[str]:
    """The stages that were made anew on the branch since a commit of it, in their order."""
    subjects = git(here.root, "log", "--reverse", "--format=%s", f"{since}..HEAD").splitlines()
    end = f" of {here.branch}"
    return [subject.removesuffix(end) for subject in subjects if subject.endswith(end)]


@contextmanager
def where_made(here: Workspace, lock: str) -> Iterator[Workspace]:
    """A clone at the commit of git's remote whose dvc.lock has this SHA-256; where there is none, at the branch's tip.

    What a run made is told by its dvc.lock: the commit that a registered version names is the code's.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        root = Path(folder)
        clone(root)
        commits = git(root, "log", "--remotes", "--format=%H", "--", "dvc.lock").splitlines() if lock else []
        known = next((one for one in commits if _lock_at(root, one) == lock), "")
        git(root, "checkout", "--quiet", "--force", "--detach", known or f"origin/{here.branch}")
        lead_to_local_data(root)
        yield Workspace(root, here.branch)


def _lock_at(root: Path, commit: str) -> str:
    """The SHA-256 of dvc.lock at a commit."""
    text = git_or_none(root, "show", f"{commit}:dvc.lock")
    return "" if text is None else sha256(f"{text}\n".encode()).hexdigest()


def _night_before(here: Workspace) -> str:
    """The branch of this recipe's night at another commit that was committed to last, or nothing."""
    nights = run_branches(here.root, f"{here.recipe}-*-{NIGHT}")
    own = [name for name in nights if name != here.branch and _named(name) == here.recipe]
    return own[0] if own else ""


def _named(branch: str) -> str:
    return Workspace(Path(), branch).recipe


def _base(branch: str) -> str:
    """The commit that a run began at."""
    return branch.rsplit("-", 2)[1]


def _same_results(here: Workspace, one: str, other: str) -> bool:
    try:
        return not git(here.root, "diff", "--name-only", one, other, "--", "dvc.lock")
    except UserError:  # the history was rewritten: that commit is gone
        return False
