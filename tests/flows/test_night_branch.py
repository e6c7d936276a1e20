"""The branch of a recipe's nights: its results go along to another commit, and to no other recipe's."""

import pytest
from own_repository import done
from tiny_project import Project

from understudy.adapters.night_branch import changed_by, open_night, where_made
from understudy.adapters.run_branch import newest, open_run
from understudy.adapters.workspace import Workspace
from understudy.errors import UserError
from understudy.files import sha256


@pytest.fixture
def project(repo, tmp_path, monkeypatch) -> Project:
    found = Project(repo, tmp_path)
    for name in ("UNDERSTUDY_REPOSITORY", "UNDERSTUDY_WORKSPACES"):
        monkeypatch.setenv(name, found.environment()[name])
    return found


def work(here: Workspace, stage: str, text: str) -> None:
    """As if a stage had been run."""
    (here.root / "dvc.lock").write_text(text)
    folder = here.root / "artifacts" / stage
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(text)
    here.commit_results(f"{stage} of {here.branch}")


def code_changes(project: Project) -> None:
    with (project.root / "own.py").open("a") as stream:
        stream.write("# changed\n")
    project.share()


def test_nights_of_one_commit_share_a_branch_and_the_next_commit_takes_its_results(project, tmp_path):
    first = open_night(tmp_path / "1", None, "HEAD")
    assert first.branch.endswith("-nightly") and first.recipe == "street-scenes"
    since = first.commit
    assert changed_by(first, since) == []
    work(first, "prepare", "one")
    work(first, "teacher", "two")
    assert changed_by(first, since) == ["prepare", "teacher"]
    again = open_night(tmp_path / "2", None, "HEAD")
    assert (again.branch, again.commit) == (first.branch, first.commit)

    code_changes(project)
    second = open_night(tmp_path / "3", None, "HEAD")
    assert second.branch != first.branch and (second.root / "dvc.lock").read_text() == "two"
    assert (second.root / "artifacts/teacher/metrics.json").read_text() == "two"
    assert project.log(second.branch) == [f"results of {first.branch}"]
    assert "# changed" in (second.root / "own.py").read_text()

    # Another recipe begins with nothing, and so does a project that has committed results of its own.
    other = open_night(tmp_path / "4", "street-scenes-unet", "HEAD")
    assert not (other.root / "dvc.lock").exists()
    (project.root / "dvc.lock").write_text("of a developer")
    project.share()
    third = open_night(tmp_path / "5", None, "HEAD")
    assert (third.root / "dvc.lock").read_text() == "of a developer" and project.log(third.branch) == []


def test_a_night_before_that_made_nothing_has_nothing_to_give(project, tmp_path):
    open_night(tmp_path / "1", None, "HEAD")
    code_changes(project)
    second = open_night(tmp_path / "2", None, "HEAD")
    assert project.log(second.branch) == [] and "# changed" in (second.root / "own.py").read_text()


def test_the_run_that_made_the_champion_is_found_where_it_is_to_be_had(project, tmp_path):
    here = open_night(tmp_path / "1", None, "HEAD")
    work(here, "prepare", "one\n")
    made = sha256(here.root / "dvc.lock")
    work(here, "prepare", "two\n")
    for lock, found in ((made, "one"), ("f" * 64, "two"), ("", "two")):
        with where_made(here, lock) as place:
            assert (place.root / "dvc.lock").read_text() == f"{found}\n"


def test_the_newest_run(project, tmp_path):
    with pytest.raises(UserError, match=r"has no branch runs/\*"):
        newest(tmp_path / "none")
    for name in ("aaaa", "bbbb"):
        here = open_run(tmp_path / name, None, "HEAD", name)
        (here.root / "dvc.lock").write_text(name)
        done(here.root, "git", "add", "dvc.lock")
        done(here.root, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "x", "--date",
             "2030-01-01T00:00:00")  # fmt: skip
        here.push()
    later = open_run(tmp_path / "again", None, "HEAD", "aaaa")
    (later.root / "dvc.lock").write_text("later")
    done(later.root, "git", "add", "dvc.lock")
    environment = ("env", "GIT_COMMITTER_DATE=2031-01-01T00:00:00")
    done(later.root, *environment, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "y")
    later.push()
    assert newest(tmp_path / "look") == later.branch
