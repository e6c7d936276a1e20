"""What docs/operations.md has people type, where a slip would lose data or lock everybody out: it is typed here."""

import os
import re
import subprocess
from hashlib import md5
from pathlib import Path

import pytest
from own_repository import commit, done

REPO = Path(__file__).parents[2]
TEXT = (REPO / "docs/operations.md").read_text()


def test_gits_credentials_are_read_from_the_secret_for_its_host_alone(tmp_path):
    (shown,) = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
    assert shown.count("/etc/understudy/git/credentials") == 1
    (tmp_path / "config").write_text(shown.replace("/etc/understudy/git/credentials", str(tmp_path / "credentials")))
    (tmp_path / "credentials").write_text("username=pipeline\npassword=token\n")
    environment = os.environ | {"GIT_CONFIG_GLOBAL": str(tmp_path / "config"), "GIT_TERMINAL_PROMPT": "0"}

    def asked(host: str, verb: str = "fill") -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "credential", verb], input=f"protocol=https\nhost={host}\n\n", text=True,
                              env=environment, cwd=tmp_path, capture_output=True, timeout=60)  # fmt: skip

    assert {"username=pipeline", "password=token"} <= set(asked("git.example.com").stdout.splitlines())
    assert "token" not in asked("elsewhere.example.com").stdout
    # What git does with credentials that were taken: nothing is written, and nothing complains.
    accepted = "protocol=https\nhost=git.example.com\nusername=pipeline\npassword=token\n\n"
    told = subprocess.run(["git", "credential", "approve"], input=accepted, text=True, env=environment, cwd=tmp_path,
                          capture_output=True, timeout=60)  # fmt: skip
    assert told.returncode == 0 and not told.stderr


class Store:
    """A DVC remote, and a repository each of whose commits names one object of it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.objects = folder / "work", folder / "store/files/md5"
        (self.root / ".dvc").mkdir(parents=True)
        (self.root / ".dvc/.gitignore").write_text("/tmp\n/cache\n")
        (self.root / ".dvc/config").write_text(
            f"[core]\nanalytics = false\ncheck_update = false\nremote = s\n['remote \"s\"']\nurl = {folder / 'store'}\n"
        )
        done(self.root, "git", "init", "-q", "--initial-branch=main")

    def put(self, text: str) -> Path:
        """An object of the remote."""
        digest = md5(text.encode()).hexdigest()
        path = self.objects / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path

    def name(self, text: str) -> Path:
        """An object of the remote that a commit names."""
        digest = md5(text.encode()).hexdigest()
        (self.root / "set.dvc").write_text(f"outs:\n- md5: {digest}\n  size: {len(text)}\n  hash: md5\n  path: set\n")
        commit(self.root, text)
        return self.put(text)


@pytest.mark.slow
def test_what_any_commit_of_a_run_names_is_kept_when_the_remote_is_cleaned(tmp_path):
    """In a clone the branches of runs are its remote's; and a night's branch leaves a champion's commit behind."""
    store = Store(tmp_path)
    kept = [store.name("on main")]
    done(store.root, "git", "checkout", "-qb", "runs/street-scenes-0123abc-nightly")
    kept += [store.name("of a champion"), store.name("of the last night")]
    done(store.root, "git", "checkout", "-q", "main")
    unnamed = store.put("of a run whose branch was deleted")
    done(tmp_path, "git", "clone", "-q", str(store.root), str(tmp_path / "clone"))
    found = [line for line in TEXT.splitlines() if line.startswith("dvc gc ")]
    look, clean = found
    assert look == f"{clean} --dry"
    done(tmp_path / "clone", *clean.split(), "--force")
    assert not unnamed.exists() and [path for path in kept if not path.exists()] == []


def test_workspaces_go_whose_branch_is_gone_and_none_while_the_remote_is_away(tmp_path):
    (script,) = re.findall(r"sh -c '(cd /workspaces.*?)'\n", TEXT, re.DOTALL)
    origin, workspaces = tmp_path / "origin", tmp_path / "workspaces"
    for branch in ("one", "two"):
        (workspaces / "runs" / branch / ".git").mkdir(parents=True)
    origin.mkdir()
    done(origin, "git", "init", "-q", "--initial-branch=main")
    (origin / "file").touch()
    commit(origin, "start")
    done(origin, "git", "branch", "runs/two")

    def tidied(repository: Path) -> set[str]:
        command = ["sh", "-c", script.replace("/workspaces", str(workspaces))]
        subprocess.run(command, env=os.environ | {"UNDERSTUDY_REPOSITORY": str(repository)}, capture_output=True,
                       timeout=60, check=False)  # fmt: skip
        return {path.name for path in (workspaces / "runs").iterdir()}

    assert tidied(tmp_path / "nowhere") == {"one", "two"}
    assert tidied(origin) == {"two"}
