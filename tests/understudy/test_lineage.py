import subprocess

import pytest

from understudy.files import sha256
from understudy.lineage import dependencies, lineage


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository of one commit."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lineage.py").write_text("one")
    for command in (["init", "-q"], ["add", "code"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_commit_of_the_code_and_whether_its_tree_differs_from_it(repository, tmp_path_factory, monkeypatch):
    monkeypatch.setattr("understudy.lineage.CODE", repository / "code")
    root = tmp_path_factory.mktemp("root")  # a run's files, elsewhere
    found = lineage(root)
    assert len(found["git_commit"]) == 40
    assert found["git_dirty"] == "false"
    assert "dvc_lock_sha256" not in found
    (repository / "code/lineage.py").write_text("two")
    assert lineage(root) == {**found, "git_dirty": "true"}
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    assert lineage(root)["dvc_lock_sha256"] == sha256(root / "dvc.lock")


def test_a_repository_that_does_not_hold_the_code_is_not_named(repository, monkeypatch):
    ours = lineage(repository).get("git_commit")  # of the code, in whatever repository the tests run
    monkeypatch.setattr("understudy.lineage.CODE", repository / "code")
    assert lineage(repository)["git_commit"] != ours
    # An environment inside a repository, with this package installed in it.
    installed = repository / "venv/understudy"
    installed.mkdir(parents=True)
    (installed / "lineage.py").write_text("one")
    monkeypatch.setattr("understudy.lineage.CODE", installed)
    assert lineage(repository) == {}


def test_a_folder_without_history_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr("understudy.lineage.CODE", tmp_path)
    assert lineage(tmp_path) == {}
    assert dependencies(tmp_path, "teacher") == {}


def test_what_a_stage_reads_is_found_among_the_outputs_of_others(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {teacher: {deps: [a.zip, code.py]}, judge: {deps: [b.zip]}, odd: {}}\n")
    (tmp_path / "dvc.lock").write_text(
        "stages: {prepare: {outs: [{path: a.zip, md5: '1'}, {path: b.zip, md5: '2'}]}}\n"
    )
    assert dependencies(tmp_path, "teacher") == {"a.zip": "1"}
    assert dependencies(tmp_path, "odd") == {}
    assert dependencies(tmp_path, "unknown") == {}
