"""The note of what lies in a workspace as dvc.lock names it."""

import pytest
import yaml

from understudy.adapters.at_hand import NOTE, AtHand


@pytest.fixture
def root(tmp_path):
    """A workspace in which `data` was made, and `weights` is named by dvc.lock alone."""
    lock(tmp_path, data="1" * 32, weights="2" * 32)
    (tmp_path / "data").write_text("data")
    AtHand(tmp_path).keep(["data"])
    return tmp_path


def lock(root, **digests):
    outs = [{"path": name, "md5": digest} for name, digest in digests.items()]
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"one": {"outs": outs}}}))


def test_what_was_made_here_is_here_until_it_is_gone_changed_or_named_anew(root):
    here, names = AtHand(root), ["data", "weights", "unknown"]
    assert here.lacking(names) == ["weights", "unknown"]
    here.forget(["data"])  # DVC is about to change it
    assert here.lacking(names) == names
    here.keep(names)
    assert here.lacking(names) == ["weights", "unknown"]  # the note alone makes no file
    lock(root, data="3" * 32, weights="2" * 32)  # another run of it, elsewhere
    assert here.lacking(names) == names
    here.keep(["data"])
    (root / "data").unlink()
    assert here.lacking(names) == names


@pytest.mark.parametrize("text", [None, "", "[1, 2]", '{"data": '])
def test_a_note_that_is_lost_or_damaged_says_nothing(root, text):
    (root / NOTE).unlink()
    if text is not None:
        (root / NOTE).write_text(text)
    assert AtHand(root).lacking(["data"]) == ["data"]
