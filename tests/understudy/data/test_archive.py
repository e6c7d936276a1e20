import zipfile
from pathlib import Path

import pytest

from understudy.data.archive import write_archive


def test_same_entries_give_the_same_uncompressed_bytes(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        with write_archive(tmp_path / name) as archive:
            archive.add("photo/x y.png", b"1" * 1000)
            archive.add("photo/街.png", b"2")
    content = (tmp_path / "a.zip").read_bytes()
    assert content == (tmp_path / "b.zip").read_bytes()
    assert b"1" * 1000 in content
    with zipfile.ZipFile(tmp_path / "a.zip") as made:
        assert made.read("photo/街.png") == b"2"


def test_failure_leaves_the_old_archive_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), write_archive(path) as archive:
        archive.add("x", b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]
