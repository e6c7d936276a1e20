"""Workspaces and run branches, on a bare repository; nothing of Prefect."""

import os
import threading
import time
from pathlib import Path

import pytest
from own_repository import commit, done

from understudy.adapters import patience, remote_data, run_branch, workspace
from understudy.errors import UserError
from understudy.git import git

FILES = ("params.yaml", "datasets/street-scenes.yaml", "recipes/street-scenes.yaml", "recipes/street-scenes-unet.yaml")


class Place:
    """A developer's repository and its bare origin, as the environment names them."""

    def __init__(self, repo: Path, folder: Path) -> None:
        self.root, self.origin, self.folder = folder / "work", folder / "origin.git", folder
        for name in FILES:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes((repo / name).read_bytes())
        (self.root / ".dvc").mkdir()
        (self.root / ".dvc/.gitignore").write_text("/config.local\n")
        (self.root / ".gitignore").write_text("/data/\n/.understudy/\n")
        (self.root / ".dvc/config").write_text(
            f"[core]\nremote = store\n['remote \"store\"']\nurl = {folder / 'store'}\n"
        )
        done(self.root, "git", "init", "-q", "--initial-branch=main")
        done(folder, "git", "init", "-q", "--bare", "--initial-branch=main", str(self.origin))
        done(self.root, "git", "remote", "add", "origin", str(self.origin))
        self.share()

    def share(self) -> None:
        commit(self.root, "work")
        done(self.root, "git", "push", "-q", "origin", "HEAD:main")

    def open(self, name: str = "plan", recipe: str | None = None, revision: str = "HEAD", run: str = "one"):
        return run_branch.open_run(self.folder / name, recipe, revision, run)


@pytest.fixture
def place(repo, tmp_path, monkeypatch) -> Place:
    monkeypatch.setenv("UNDERSTUDY_WORKSPACES", str(tmp_path / "workspaces"))
    monkeypatch.setenv("UNDERSTUDY_REPOSITORY", str(tmp_path / "origin.git"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setattr(patience, "DELAYS", (0.5, 0.5, 0.5, 0.5))
    (tmp_path / "plan").mkdir()
    return Place(repo, tmp_path)


def test_a_run_s_branch_bears_recipe_and_commit_and_has_the_recipe_s_parameters(place):
    tip = git(place.root, "rev-parse", "HEAD")
    here = place.open()
    assert here.branch == f"runs/street-scenes-{tip[:7]}-one" and here.commit == tip  # params.yaml is that recipe
    other = run_branch.open_run(place.folder / "other", "street-scenes-unet", "main", "two")
    assert other.branch == f"runs/street-scenes-unet-{tip[:7]}-two"
    unet = (place.root / "recipes/street-scenes-unet.yaml").read_text()
    assert git(place.origin, "show", f"{other.branch}:params.yaml") + "\n" == unet
    # A process of the same run that starts again finds it, with what is there.
    git(place.root, "fetch", "-q")
    again = run_branch.open_run(place.folder / "again", "street-scenes-unet", "main", "two")
    assert again.commit == other.commit


def test_commit_goes_to_the_branch_and_nobody_else_may_write_there(place):
    branch = place.open().branch
    with workspace.workspace(branch, "run", "teacher") as here:
        (here.root / "dvc.lock").write_text("1\n")
        (here.root / "params.yaml").write_text("not a result: it is left out\n")
        first = here.commit_results("teacher")
        assert first == git(place.origin, "rev-parse", branch) and here.commit_results("nothing new") is None
        done(place.root, "git", "fetch", "-q")
        done(place.root, "git", "checkout", "-q", branch)
        (place.root / "dvc.lock").write_text("somebody else's\n")
        commit(place.root, "meddling")
        done(place.root, "git", "push", "-q", "origin", branch)
        (here.root / "dvc.lock").write_text("2\n")
        with pytest.raises(UserError, match="somebody else has pushed to this run's branch, which has one writer"):
            here.commit_results("distill")
    assert git(place.origin, "show", f"{branch}:dvc.lock") == "somebody else's"


def test_an_interrupted_git_and_a_killed_dvc_do_not_stand_in_the_way(place):
    branch = place.open().branch
    with workspace.workspace(branch, "run", "prepare") as here:
        root = here.root
    for left in (".git/index.lock", f".git/refs/heads/{branch}.lock", ".dvc/tmp/rwlock"):
        (root / left).parent.mkdir(parents=True, exist_ok=True)
        (root / left).write_text("{}")
    (root / "params.yaml").write_text("half of a")
    (root / ".understudy/teacher").mkdir(parents=True)
    (root / ".understudy/teacher/checkpoint").write_text("kept")
    with workspace.workspace(branch, "run", "teacher") as here:
        assert (here.root / "params.yaml").read_bytes() == (place.root / "params.yaml").read_bytes()
    assert (root / ".understudy/teacher/checkpoint").exists() and not (root / ".dvc/tmp/rwlock").exists()


def test_a_second_run_is_told_who_works_there_and_a_later_process_of_the_first_waits(place):
    branch = place.open().branch
    with workspace.workspace(branch, "first", f"teacher of {branch}"):
        said = rf"the run teacher of {branch} \(process {os.getpid()} on .+, since .+\) works there"
        with pytest.raises(UserError, match=said), workspace.workspace(branch, "second", "gate"):
            pass
    held = threading.Event()

    def first() -> None:
        with workspace.workspace(branch, "first", "teacher"):
            held.set()
            time.sleep(1)

    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with workspace.workspace(branch, "first", "teacher, again"):
        assert not thread.is_alive() or not thread.join(1)


def test_a_git_remote_that_is_away_is_waited_for(place):
    here = place.open()
    (here.root / "dvc.lock").write_text("1\n")
    away = place.origin.with_name("away.git")
    place.origin.rename(away)
    threading.Timer(1.2, away.rename, (place.origin,)).start()
    assert here.commit_results("prepare") == git(place.origin, "rev-parse", here.branch)


@pytest.mark.parametrize("branch", ["main", "runs/../main", "runs/", "runs/a b", "-x"])
def test_only_a_run_s_branch_is_worked_on(place, branch):
    with pytest.raises(UserError, match="a run's branch is runs/NAME"), workspace.workspace(branch, "run", "stage"):
        pass


def test_a_folder_s_data_and_cache_are_used_where_it_is_on_this_machine(place, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_REPOSITORY", str(place.root))
    (place.root / ".dvc/config").write_text("[core]\nanalytics = false\n")
    place.share()
    (place.root / "data").mkdir()
    (place.root / "data/set.zip").write_text("images")
    here = place.open()
    assert (here.root / "data/set.zip").read_text() == "images"
    assert remote_data.address(here.root) == str(place.root / ".dvc/cache")
    assert not git(here.root, "status", "--porcelain")  # git knows of neither


def test_what_could_not_work_is_refused_before_there_is_a_branch(place, monkeypatch):
    def refused(what: str, **options: str) -> None:
        with pytest.raises(UserError, match=what):
            place.open(**options)
        assert not git(place.origin, "branch", "--list", "runs/*")

    refused("no recipe 'nothing'", recipe="nothing")
    refused("revision nowhere: .* has no such branch, tag or commit", revision="nowhere")
    params = place.root / "params.yaml"
    good = params.read_text()
    params.write_text(good.replace("datasets/street-scenes.yaml", "data/nobody-has.zip"))
    place.share()
    refused(r"prepare.source: data/nobody-has.zip is not in .*dvc add")
    params.write_text(good.replace("seed: 0", "sead: 0", 1))
    place.share()
    refused("sead")
    params.write_text(good)
    (place.root / ".dvc/config").write_text("[core]\nanalytics = false\n")
    place.share()
    refused("there is no DVC remote")
    (place.root / ".dvc/config").write_text("[core]\nremote = store\n")
    place.share()
    refused("core.remote is store, and there is no such remote")
    monkeypatch.setenv("UNDERSTUDY_REPOSITORY", str(place.folder / "gone.git"))
    with pytest.raises(UserError, match=r"gone\.git: git cannot reach it"):
        place.open()
