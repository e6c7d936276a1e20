"""A git and DVC repository of its own with this repository's files in it, and commands run there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def environment() -> dict[str, str]:
    """The stages' `python` and `dvc` are those of this test's environment; one thread; nothing leaves the folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    quiet = {"UNDERSTUDY_TRACKING": "off", "DVC_NO_ANALYTICS": "true", "GIT_CONFIG_GLOBAL": os.devnull}
    return {**os.environ, **quiet, "PATH": path, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": ""}


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)


def done(root: Path, *command: str) -> str:
    """Standard output of a command that must succeed."""
    ended = run(root, *command)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def commit(root: Path, message: str) -> None:
    """Commit everything as it stands, if anything has changed."""
    done(root, "git", "add", "-A")
    if done(root, "git", "status", "--porcelain"):
        done(root, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", message)


def copy_files(repo: Path, root: Path) -> None:
    """Make `root` a repository of the same files as `repo`, less its tests and what stages made; commit nothing.

    Where `root` is one already, files that `repo` no longer has are removed, and what stages made there is kept.
    """
    root.mkdir(parents=True, exist_ok=True)
    done(root, "git", "init", "-q")
    wanted = {name for name in _listed(repo, "-co", "--exclude-standard") if (repo / name).is_file()}
    for name in _listed(root) - wanted:
        (root / name).unlink(missing_ok=True)
    for name in wanted:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repo / name, root / name)


def _listed(root: Path, *options: str) -> set[str]:
    """The files that git knows there, less those that are of the folder's own."""
    names = done(root, "git", "ls-files", "-z", *options).split("\0")
    return {name for name in names if name and name != "dvc.lock" and not name.startswith(("artifacts/", "tests/"))}
