"""A branch beside the one that it would be merged into, in a real repository of git."""

import pytest
from own_repository import commit, done

from understudy.adapters.branch import branch
from understudy.errors import UserError


@pytest.fixture
def root(tmp_path):
    """main has `one` and, since `work` began, `three`; `work` has `two`, and is checked out."""
    done(tmp_path, "git", "init", "-q", "--initial-branch=main")
    for name in ("one", "two"):
        (tmp_path / name).touch()
        commit(tmp_path, name)
    done(tmp_path, "git", "branch", "work")
    done(tmp_path, "git", "reset", "-q", "--hard", "HEAD~1")
    (tmp_path / "three").touch()
    commit(tmp_path, "three")
    done(tmp_path, "git", "checkout", "-q", "work")
    return tmp_path


def at(root, revision):
    return done(root, "git", "rev-parse", revision).strip()


def test_what_others_have_merged_meanwhile_is_not_its_doing(root):
    found = branch(root, "main")
    assert (found.commit, found.base, found.behind) == (at(root, "work"), at(root, "main~1"), 1)
    assert found.changed == ("two",) and found.name == found.commit[:7]


def test_of_the_merge_that_github_checks_out_the_base_is_the_tip(root):
    done(root, "git", "checkout", "-q", "--detach", "main")
    done(root, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "merge", "-q", "--no-ff", "-m", "m", "work")
    found = branch(root, "main")
    assert found.base == at(root, "main") and found.behind == 0 and found.changed == ("two",)
    assert found.name == f"{found.commit[:7]} (merge of {at(root, 'work')[:7]})"


def test_what_has_no_answer_is_a_clear_error(root, tmp_path_factory):
    with pytest.raises(UserError, match="--against nowhere: no such revision"):
        branch(root, "nowhere")
    with pytest.raises(UserError, match="not a git repository"):
        branch(tmp_path_factory.mktemp("plain"), "main")
    done(root, "git", "checkout", "-q", "--orphan", "alone")
    commit(root, "alone")
    with pytest.raises(UserError, match="no commit that it shares"):
        branch(root, "main")
    (root / "one").write_text("edited")
    with pytest.raises(UserError, match=r"not as committed.*: one;"):
        branch(root, "main")
