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
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_commit_and_whether_the_tree_differs_from_it(repository):
    found = lineage(repository)
    assert len(found["git_commit"]) == 40
    assert found["git_dirty"] == "false"
    assert "dvc_lock_sha256" not in found
    (repository / "file").write_text("two")
    assert lineage(repository) == {**found, "git_dirty": "true"}
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    assert lineage(repository)["dvc_lock_sha256"] == sha256(repository / "dvc.lock")


def test_a_folder_without_history_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    code = lineage(tmp_path)
    assert set(code) <= {"git_commit", "git_dirty"}  # of the code, in whatever repository the tests run
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
