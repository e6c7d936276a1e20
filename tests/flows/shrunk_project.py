"""The shipped graph, shrunk by its parameters alone, in a bare git repository, with a DVC remote."""

from pathlib import Path

import yaml
from own_repository import commit, copy_files, done
from shrunk import draw_few, shrink


def shrunk_project(repo: Path, folder: Path, remote: str) -> tuple[Path, Path]:
    """The developer's folder, and the bare repository `folder`/origin.git. remote: DVC's."""
    root, origin = folder / "work", folder / "origin.git"
    copy_files(repo, root)
    shipped = yaml.safe_load((repo / "params.yaml").read_text())
    text = "# The shipped parameters, shrunk.\n" + yaml.safe_dump(shrink(shipped))
    for name in ("params.yaml", "recipes/street-scenes.yaml"):
        (root / name).write_text(text)
    draw_few(repo, root, shipped["prepare"]["source"])
    lines = ["[core]", "analytics = false", "check_update = false", "autostage = true", "remote = store"]
    (root / ".dvc/config").write_text("\n".join([*lines, "['remote \"store\"']", f"url = {remote}"]) + "\n")
    commit(root, "start")
    done(root, "git", "branch", "-M", "main")
    done(root, "git", "init", "-q", "--bare", "--initial-branch=main", str(origin))
    done(root, "git", "remote", "add", "origin", str(origin))
    done(root, "git", "push", "-q", "origin", "main")
    return root, origin
