"""DVC: the files of another revision, from git's history and from DVC's cache or remote, laid out like a run's root."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import UserError, in_one_line

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem


def fetch(root: Path, revision: str, names: Iterable[str], folder: Path) -> tuple[str, dict[str, str]]:
    """Copy the files `names`, as they were at a git revision of the repository at `root`, to FOLDER/NAME.

    Returns the commit that the revision names, and for each file that could not be had the reason. Raises UserError
    when `root` is no repository of git and DVC, or the revision is unknown. A file whose content is not that of the MD5
    that DVC locked counts as one that could not be had.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import NotDvcRepoError
    from dvc.scm import RevError, SCMError

    try:
        files = DVCFileSystem(url=str(root.resolve()), rev=revision)
        commit = files.repo.get_rev()
    except RevError as error:
        raise UserError(f"--against {revision}: no such revision in {root}; `git log --oneline` lists them") from error
    except (NotDvcRepoError, SCMError) as error:
        raise UserError(f"{root}: another revision can only be had in a repository of git and DVC ({error})") from error
    absent = {}
    with files.repo:
        for name in names:
            try:
                if not files.isfile(name):
                    absent[name] = f"{name} is not part of revision {revision}"
                    continue
                _copy(files, name, folder / name)
            except Exception as error:  # a remote's library raises what it likes: botocore's share no base with OSError
                reason = in_one_line(error) or type(error).__name__
                absent[name] = (f"{name} at {revision} is in neither the cache nor a remote ({reason}); "
                                f"`dvc pull` or `dvc repro` at that revision gets it")  # fmt: skip
    return commit, absent


def _copy(files: "DVCFileSystem", name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        files.get_file(name, str(path))
        if damage := _damage(path, files.info(name).get("md5")):
            raise OSError(damage)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _damage(path: Path, locked: str | None) -> str:
    """How a file differs from what DVC locked, or nothing. locked: its MD5, None of a file that is git's."""
    if locked is None:
        return ""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    return "" if found == locked else f"MD5 {found} where {locked} was locked"
