"""What a version's tags say of where it came from, beside a real repository of git with a lock in it."""

import hashlib

import pytest
import yaml
from own_repository import commit, done

from understudy.adapters.origin import origin
from understudy.adapters.registry import Registered
from understudy.files import sha256, write_json
from understudy.gate import STUDENT
from understudy.verdict import Verdict

VERDICT = Verdict(True, ({"metric": "m", "rule": "min", "outcome": "passed", "message": "", "bound": 0.0, "value": 1.0,
                          "reference": None, "interval": None},), {}, {}, "e", "d", "j", {})  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A repository whose lock speaks of weights."""
    root = tmp_path / "root"
    root.mkdir()
    done(root, "git", "init", "-q")
    md5 = hashlib.md5(b"weights").hexdigest()
    lock = {"schema": "2.0", "stages": {"distill": {"cmd": "x", "outs": [{"path": STUDENT[1], "md5": md5}]}}}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    commit(root, "a run")
    return root


@pytest.fixture
def got(root, tmp_path):
    """A version of that commit."""
    write_json(tmp_path / "verdict.json", VERDICT.plain())
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    tags = {
        "data_sha256": "d", "judge_sha256": "j", "dvc_lock_sha256": sha256(root / "dvc.lock"), "git_dirty": "false",
        "git_commit": done(root, "git", "rev-parse", "HEAD").strip(),
    }  # fmt: skip
    files = {"verdict": tmp_path / "verdict.json", "weights": tmp_path / "weights.safetensors"}
    return Registered("model", "1", tags, tmp_path, files)


def test_what_is_so_is_so_whatever_is_at_hand_now(root, got):
    (root / "dvc.lock").write_text("stages: {}\n")
    commit(root, "another run")
    assert origin(root, got) == ((), ())


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ("data_sha256", "o", "the tag data_sha256 is o, its verdict says d"),
        ("judge_sha256", "o", "the tag judge_sha256 is o, its verdict says j"),
        ("dvc_lock_sha256", "0" * 64, "the tag dvc_lock_sha256 is not that of dvc.lock at "),
    ],
)
def test_a_tag_that_says_otherwise_is_wrong(tag, value, said, root, got):
    got.tags[tag] = value
    (wrong,), unseen = origin(root, got)
    assert wrong.startswith(said) and unseen == ()


def test_a_file_that_the_lock_does_not_speak_of_is_wrong(root, got):
    got.files["weights"].write_bytes(b"other weights")
    (wrong,), _ = origin(root, got)
    assert wrong.startswith(f"{STUDENT[1]}: is not the file that dvc.lock at ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"git_dirty": "true"}, "changes that were not committed"),
        ({"git_commit": "0" * 40}, "has none at 000000000000"),
        ({"git_commit": ""}, "no repository of git"),
    ],
)
def test_what_cannot_be_looked_at_is_said_and_not_wrong(changes, said, root, got):
    got.tags.update(changes)
    wrong, (unseen,) = origin(root, got)
    assert wrong == () and said in unseen
