import errno
import hashlib
import math
import os

import pytest

from understudy.errors import BAD_INPUT, UserError
from understudy.files import atomic, read_json, sha256, write_json, write_text


def test_a_writer_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), atomic(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise KeyError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_new_file_appears_whole_under_its_own_suffix(tmp_path):
    path = tmp_path / "new/folder/picture.png"
    with atomic(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.suffix == ".png" and temporary.parent == path.parent
        assert not path.exists()
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_a_writer_that_writes_nothing_is_an_error_and_changes_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UserError, match=r"a\.txt: cannot be written: .*No such file"), atomic(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for path in (tmp_path / "file/a.txt", tmp_path / "file/deeper/a.txt"):
        with pytest.raises(UserError, match=r"a\.txt: cannot be written: ") as refused:
            write_text(path, "new")
        assert refused.value.code == BAD_INPUT
    with pytest.raises(UserError, match=r"full: cannot be written: .*No space left"), atomic(tmp_path / "full"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(value, tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"miou": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"deep": [{"miou": value}]})
    assert read_json(path) == {"miou": 0.5} and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"], ids=["empty", "cut", "not-utf8"])
def test_json_that_cannot_be_read_is_named(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")


def test_sha256_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match="missing: cannot be read: No such file"):
        sha256(tmp_path / "missing")
