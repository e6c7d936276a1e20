"""A revision's files, out of a real repository of git and DVC."""

import shutil
import subprocess
import sys

import pytest

from understudy.adapters.revision import fetch
from understudy.errors import UserError

TRACKED, OUTPUT = "params.yaml", "artifacts/weights.bin"


def call(root, *command):
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def commit(root, content):
    (root / TRACKED).write_text(f"value: {content}\n")
    (root / OUTPUT).unlink(missing_ok=True)
    (root / OUTPUT).write_text(content)
    call(root, sys.executable, "-m", "dvc", "add", "-q", OUTPUT)
    call(root, "git", "add", "-A")
    call(root, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", content)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    call(root, "git", "init", "-q")
    call(root, sys.executable, "-m", "dvc", "init", "-q")
    (root / "artifacts").mkdir()
    for content in ("first", "second"):
        commit(root, content)
    return root


@pytest.mark.slow
def test_files_of_git_and_of_dvc_are_those_of_the_revision(root, tmp_path):
    commit_id, absent = fetch(root, "HEAD~1", [TRACKED, OUTPUT, "nowhere.txt"], tmp_path)
    assert (tmp_path / TRACKED).read_text() == "value: first\n" and (tmp_path / OUTPUT).read_text() == "first"
    assert (
        len(commit_id) == 40
        and list(absent) == ["nowhere.txt"]
        and "not part of revision HEAD~1" in absent["nowhere.txt"]
    )
    assert (root / OUTPUT).read_text() == "second"


@pytest.mark.slow
def test_what_the_cache_has_lost_is_named(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / ".dvc/cache")
    _, absent = fetch(copy, "HEAD~1", [TRACKED, OUTPUT], tmp_path / "out")
    assert list(absent) == [OUTPUT] and "in neither the cache nor a remote" in absent[OUTPUT]
    assert not (tmp_path / "out" / OUTPUT).exists()


@pytest.mark.slow
def test_what_is_no_longer_what_was_locked_counts_as_lost(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    for path in (copy / ".dvc/cache/files").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_text("damaged")
    _, absent = fetch(copy, "HEAD~1", [OUTPUT], tmp_path / "out")
    assert "was locked" in absent[OUTPUT] and not (tmp_path / "out" / OUTPUT).exists()


@pytest.mark.slow
def test_an_unknown_revision_and_no_repository_are_clear_errors(root, tmp_path):
    with pytest.raises(UserError, match="--against nowhere: no such revision"):
        fetch(root, "nowhere", [TRACKED], tmp_path)
    with pytest.raises(UserError, match="can only be had in a repository of git and DVC"):
        fetch(tmp_path, "HEAD", [TRACKED], tmp_path / "out")
