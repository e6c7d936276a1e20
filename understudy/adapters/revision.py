"""DVC: the files of another revision, from git's history and from DVC's cache or remote, laid out like a run's root."""

from collections.abc import Iterable
from pathlib import Path

from understudy.errors import UserError
from understudy.files import atomic


def fetch(root: Path, revision: str, names: Iterable[str], folder: Path) -> tuple[str, dict[str, str]]:
    """Copy the files `names`, as they were at a git revision of the repository at `root`, to FOLDER/NAME.

    Returns the commit that the revision names, and for each file that could not be had the reason. Raises UserError
    when `root` is no repository of git and DVC, or the revision is unknown.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException, NotDvcRepoError
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
                content = files.read_bytes(name)
            except (DvcException, OSError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                absent[name] = (f"{name} at {revision} is in neither the cache nor a remote ({reason}); "
                                f"`dvc pull` or `dvc repro` at that revision gets it")  # fmt: skip
                continue
            with atomic(folder / name) as temporary:
                temporary.write_bytes(content)
    return commit, absent
