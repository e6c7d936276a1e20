"""What makes a bundle, and checksums that coreutils read."""

import subprocess
from pathlib import Path

import pytest

from understudy.bundle import contents, differing, read_sums
from understudy.checksums import text, wrong
from understudy.errors import UserError
from understudy.files import sha256

FILES = ("arch.json", "weights.safetensors", "dataset.json", "student.onnx")


def made(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_text(f"content of {name}")
    return [folder / name for name in names]


def test_a_bundle_is_the_registered_files_and_an_example(tmp_path: Path) -> None:
    found = contents(made(tmp_path, *FILES, "card.md"), "models:/street/1")
    assert list(found) == sorted([*FILES, "card.md", "example.py"])
    assert "onnxruntime" in found["example.py"].read_text()


def test_a_version_that_makes_no_bundle_is_told_why(tmp_path: Path) -> None:
    for names, said in (
        (FILES[1:], "models:/street/1: is registered without arch.json; promote it again"),
        (FILES[:3], r"without an ONNX file \(student.onnx or student-int8.onnx\)"),
        ((*FILES, "SHA256SUMS"), "SHA256SUMS: cannot be the name"),
        ((*FILES, "a b"), "a b: cannot be the name"),
    ):
        with pytest.raises(UserError, match=said):
            contents(made(tmp_path, *names), "models:/street/1")


def test_checksums_are_those_of_coreutils_and_are_read_again(tmp_path: Path) -> None:
    digests = {path.name: sha256(path) for path in made(tmp_path, *FILES)}
    (tmp_path / "SHA256SUMS").write_text(text(digests))
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    theirs = subprocess.run(["sha256sum", *sorted(FILES)], cwd=tmp_path, capture_output=True, text=True).stdout
    assert theirs == text(digests)
    assert read_sums(theirs.encode(), "there") == digests and wrong(tmp_path, digests) == {}
    (tmp_path / "arch.json").write_text("another")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.parametrize("line", ["../evil", "a/b", "/etc/passwd", ".hidden", "SHA256SUMS", "BEGUN", "", "good"])
def test_no_line_of_checksums_names_a_file_elsewhere_or_twice(line: str) -> None:
    lines = f"{'a' * 64}  good\n{'b' * 64}  {line}\n"
    with pytest.raises(UserError, match="there: line 2 is not a SHA-256 and the name of one file"):
        read_sums(lines.encode(), "there")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"<html>", b"abc  name\n", b"A" * 64 + b"  name\n"])
def test_what_is_no_list_of_checksums_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match="there: "):
        read_sums(content, "there")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    digests = {path.name: sha256(path) for path in made(tmp_path, *FILES)}
    (tmp_path / "arch.json").unlink()
    (tmp_path / "student.onnx").write_text("changed")
    (tmp_path / "stray").write_text("x")
    found = wrong(tmp_path, digests)
    assert found.keys() == {"arch.json", "student.onnx", "stray"}
    assert (found["arch.json"], found["stray"]) == ("is gone", "was added")
    assert f"SHA256SUMS says {digests['student.onnx'][:12]}…" in found["student.onnx"]
    assert differing({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "5"}) == ["b", "c", "d"]
