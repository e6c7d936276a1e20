"""A workspace: a clone of the project in which one run branch is worked on, by one process at a time.

`.understudy/` in it (checkpoints, status) is nobody else's and survives the process, so that a stage that is taken up
again goes on where it was. Git's remote is UNDERSTUDY_REPOSITORY: an address, or the folder of a repository; by default
the one that this process works in.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from understudy import locks
from understudy.adapters import remote_data
from understudy.adapters.patience import patiently
from understudy.errors import BAD_INPUT, UserError
from understudy.files import read_json, write_json, write_text
from understudy.git import git, git_or_none

REPOSITORY, WORKSPACES = "UNDERSTUDY_REPOSITORY", "UNDERSTUDY_WORKSPACES"
PREFIX = "runs/"  # of a run branch
PATIENCE = 60.0  # seconds that a run waits for an earlier process of its own, which may be saving its state
RESULTS = ("dvc.lock", "artifacts")  # what a stage changes of git's
LOCK, HOLDER = ".understudy/workspace.lock", ".understudy/workspace.json"
# What git says of a remote that may answer later.
AWAY = ("Could not resolve", "Couldn't connect", "Failed to connect", "Connection refused", "Connection reset",
        "timed out", "unable to access", "early EOF", "hung up", "Connection closed", "returned error: 5",
        "Could not read from remote", "does not appear to be a git repository", "Temporary failure")  # fmt: skip
REFUSED = ("Authentication failed", "could not read Username", "Permission denied", "returned error: 401",
           "returned error: 403")  # fmt: skip


@dataclass(frozen=True)
class Workspace:
    """root: the clone. branch: what is checked out there, at the tip that git's remote has."""

    root: Path
    branch: str

    @property
    def commit(self) -> str:
        return git(self.root, "rev-parse", "HEAD")

    @property
    def recipe(self) -> str:
        """Of runs/RECIPE-COMMIT-ID."""
        return self.branch.removeprefix(PREFIX).rsplit("-", 2)[0]

    def refresh(self) -> None:
        """Make every file that git knows what it is at the branch's tip. What others have not committed is lost."""
        _fetch(self.root)
        self.check_out()

    def check_out(self) -> None:
        """As `refresh`, of the tip that was fetched last."""
        if tip(self.root, self.branch) is None:
            raise UserError(f"{repository()}: has no branch {self.branch}")
        git(self.root, "checkout", "--quiet", "--force", "-B", self.branch, f"origin/{self.branch}")

    def commit_results(self, message: str) -> str | None:
        """Commit what a stage left in git's care, and push it; the commit, or None when nothing had changed.

        Raises UserError when the branch has a commit of somebody else: it has one writer.
        """
        there = [name for name in RESULTS if (self.root / name).exists()]
        git(self.root, "add", "--all", "--", *there)
        if not git(self.root, "diff", "--cached", "--name-only"):
            return None
        commit(self.root, message)
        self.push()
        return self.commit

    def push(self) -> None:
        try:
            _ask_remote(self.root, "push", "--quiet", "origin", f"HEAD:refs/heads/{self.branch}")
        except UserError as error:
            if "rejected" in str(error) and ("fetch first" in str(error) or "non-fast-forward" in str(error)):
                raise UserError(f"{self.branch}: somebody else has pushed to this run's branch, which has one writer; "
                                "start a new run from what is there (--revision)") from None  # fmt: skip
            raise


def repository() -> str:
    """Git's remote. Raises UserError when none is named and this folder belongs to no repository."""
    if named := os.environ.get(REPOSITORY):
        return named
    here = git_or_none(Path(), "rev-parse", "--show-toplevel")
    if here is None:
        raise UserError(f"{REPOSITORY} is not set and this folder is in no git repository: set it to the address or "
                        "the folder of the project to compress")  # fmt: skip
    return here


def workspaces() -> Path:
    """The folder that holds every workspace."""
    return Path(os.environ.get(WORKSPACES) or "~/.cache/understudy/workspaces").expanduser()


def clone(folder: Path) -> None:
    """Make `folder` a repository whose remote is `repository()`, with everything that is there fetched.

    One that exists is kept and led there. Leftovers of a git that was killed are removed: call it as the sole writer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in (folder / ".git").rglob("*.lock"):
        left.unlink(missing_ok=True)
    # It names processes by number, and in another container the number is another's.
    (folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    git(folder, "init", "--quiet")
    if git_or_none(folder, "remote", "add", "origin", repository()) is None:
        git(folder, "remote", "set-url", "origin", repository())
    _fetch(folder)


def tip(root: Path, branch: str) -> str | None:
    """The commit at which git's remote had a branch when it was last fetched, or None."""
    return git_or_none(root, "rev-parse", "--verify", "--quiet", f"origin/{branch}")


def lead_to_local_data(folder: Path) -> None:
    """Where git's remote is a folder on this machine, have its data without a copy of its own.

    Its `data/`, which git does not know, is linked. When the project has no DVC remote its cache serves as one: it is
    laid out alike, so that `dvc checkout` of a run's commit finds there what the run has made.
    """
    origin = Path(repository())
    if not (origin / ".dvc").is_dir():
        return
    data = origin / "data"
    if data.is_dir() and not (folder / "data").exists():
        (folder / "data").symlink_to(data.resolve())
        with (folder / ".git/info/exclude").open("a") as excluded:
            excluded.write("/data\n")
    if remote_data.address(folder) is None:
        cache = (origin / ".dvc/cache").resolve()
        text = f"[core]\n    remote = repository\n['remote \"repository\"']\n    url = {cache}\n"
        write_text(folder / remote_data.OWN_CONFIG, text)


def commit(root: Path, message: str) -> None:
    """Commit what is staged, by whoever git is configured for, or by the project's own name."""
    named = git_or_none(root, "config", "user.email")
    identity = () if named else ("-c", "user.name=Understudy", "-c", "user.email=understudy@localhost")
    git(root, *identity, "commit", "--quiet", "--no-verify", "-m", message)


@contextlib.contextmanager
def workspace(branch: str, run: str, name: str) -> Iterator[Workspace]:
    """The workspace of a run branch, at the branch's tip, held for this process alone within the block.

    run: what works there: an earlier process of the same one is waited for, another one's is not. name: what a second
    is told of it. Raises UserError, naming the holder, when another run has it.
    """
    if not re.fullmatch(rf"{PREFIX}[\w.-]+", branch) or ".." in branch:
        raise UserError(f"branch {branch}: a run's branch is {PREFIX}NAME; `python -m flows.compress` makes one")
    root = workspaces() / branch
    wait = PATIENCE if _holder(root).get("run") == run else 0.0
    with locks.held(root / LOCK, wait) as mine:
        if not mine:
            raise UserError(f"{root}: {_who(_holder(root))} works there; wait for its end or cancel it, or start a "
                            "run of its own", BAD_INPUT)  # fmt: skip
        write_json(root / HOLDER, {"run": run, "name": name, "process": os.getpid(), "host": socket.gethostname(),
                                   "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())})  # fmt: skip
        clone(root)
        here = Workspace(root, branch)
        here.check_out()
        lead_to_local_data(root)
        yield here


def _holder(root: Path) -> dict[str, str]:
    try:
        return dict(read_json(root / HOLDER))
    except (UserError, ValueError, TypeError):
        return {}


def _who(holder: dict[str, str]) -> str:
    if not holder:
        return "another run"
    return (f"the run {holder.get('name')} (process {holder.get('process')} on {holder.get('host')}, "
            f"since {holder.get('since')})")  # fmt: skip


def _fetch(root: Path) -> None:
    _ask_remote(root, "fetch", "--quiet", "--prune", "origin", "+refs/heads/*:refs/remotes/origin/*")


def _ask_remote(root: Path, *arguments: str) -> None:
    """A git command that needs the remote, again and again while that is away."""

    def refuses(error: UserError) -> bool:
        return any(word in str(error) for word in REFUSED)

    def is_away(error: UserError) -> bool:
        return not refuses(error) and any(word in str(error) for word in AWAY)

    try:
        patiently(lambda: git(root, *arguments), is_away, print)
    except UserError as error:
        if refuses(error):
            raise UserError(f"{repository()}: git's remote refuses: {error}") from None
        raise
