import pytest
from own_repository import commit, done

from understudy.errors import UserError
from understudy.git import file_at, git, git_or_none


def test_what_git_prints_or_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match=r"git rev-parse: fatal: not a git repository"):
        git(tmp_path, "rev-parse", "HEAD")
    assert git_or_none(tmp_path, "rev-parse", "HEAD") is None
    done(tmp_path, "git", "init", "-q")
    (tmp_path / "b").write_text("1")
    commit(tmp_path, "first")
    (tmp_path / "b").write_text("2")
    # The blank that begins the first line is part of the answer.
    assert git(tmp_path, "status", "--porcelain") == git_or_none(tmp_path, "status", "--porcelain") == " M b"
    assert file_at(tmp_path, "HEAD", "b") == b"1"
    assert file_at(tmp_path, "HEAD", "c") is None and file_at(tmp_path, "other", "b") is None
    with pytest.raises(UserError) as told:
        git(tmp_path, "rev-parse", "--verify", "--quiet", "other", wrong="there is no other")
    assert str(told.value) == "there is no other"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git cannot be run"):
        git(tmp_path, "status")


def test_nobody_is_asked_for_a_password(tmp_path):
    """A pod has nobody who could answer."""
    done(tmp_path, "git", "init", "-q")
    done(tmp_path, "git", "config", "alias.ask", "!echo $GIT_TERMINAL_PROMPT")
    assert git(tmp_path, "ask") == "0"
