"""git, as the command that it is: what it prints, or one clear error. It never asks anybody for a password."""

import os
import subprocess
from pathlib import Path

from understudy.errors import UserError


def git(folder: Path, *arguments: str, wrong: str = "") -> str:
    """What `git ARGUMENTS` prints in `folder`, less the last line's end.

    Raises UserError when git is not there or fails: `wrong`, or the folder, the command and git's own words.
    """
    return os.fsdecode(_printed(folder, arguments, wrong)).removesuffix("\n")


def git_or_none(folder: Path, *arguments: str) -> str | None:
    """The same, or None where it fails: where there is no repository, no commit, no such file, or no git."""
    try:
        return git(folder, *arguments)
    except UserError:
        return None


def file_at(folder: Path, revision: str, name: str) -> bytes | None:
    """The content of FOLDER/`name` as it was at a revision, or None where that has no such file, or is not known."""
    try:
        return _printed(folder, ("cat-file", "blob", f"{revision}:./{name}"), "")
    except UserError:
        return None


def _printed(folder: Path, arguments: tuple[str, ...], wrong: str) -> bytes:
    # --no-optional-locks: in nobody's way who works in that repository meanwhile.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise UserError(f"git cannot be run: {error}") from None
    if done.returncode:
        raise UserError(wrong or f"{folder}: git {arguments[0]}: {os.fsdecode(done.stderr).strip()}")
    return done.stdout
