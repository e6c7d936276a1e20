"""Foreign files: the right bytes or a clear refusal, and never half a download."""

import functools
import hashlib
import http.client
import io
import urllib.error
import urllib.request

import pytest

from understudy.errors import UserError
from understudy.fetch import cache, read_verified

DATA = b"weights" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file of DATA; what is fetched is kept in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "weights.pth"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return functools.partial(read_verified, key="evaluate.inception.weights")


def kept() -> list[str]:
    return sorted(path.name for path in cache().iterdir()) if cache().exists() else []


def answering(monkeypatch, answer):
    """Any address answers with the bytes, or raises the error, that `answer` is."""

    def urlopen(*_, **__):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_a_path_is_read_in_place_and_not_copied(source, read):
    assert read("weights.pth", SHA256) == read(str(source), SHA256) == DATA
    assert kept() == []


def test_an_address_is_fetched_once(source, read, monkeypatch, capsys):
    assert read(source.as_uri(), SHA256) == DATA
    assert kept() == [SHA256]
    assert "fetching file:" in capsys.readouterr().out
    answering(monkeypatch, OSError("nobody may be asked again"))
    assert read("https://example.org/weights.pth", SHA256) == DATA
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", [DATA[:-1], b"", DATA + b" "])
def test_what_is_kept_is_checked_and_fetched_again_when_damaged(source, read, damage):
    cache().mkdir(parents=True)
    (cache() / SHA256).write_bytes(damage)
    assert read(source.as_uri(), SHA256) == DATA
    assert (cache() / SHA256).read_bytes() == DATA


@pytest.mark.parametrize("by_address", [True, False])
def test_another_hash_is_refused_and_nothing_kept(source, read, by_address):
    with pytest.raises(UserError, match=rf"evaluate.inception.sha256: .*weights.pth has SHA-256 {SHA256}, expected 00"):
        read(source.as_uri() if by_address else str(source), "0" * 64)
    assert kept() == []


class Breaking(io.BytesIO):
    """An answer that breaks off."""

    def read(self, size=-1):
        if self.tell():
            raise http.client.IncompleteRead(b"", 100)
        return super().read(10)


@pytest.mark.parametrize(
    "answer",
    [Breaking(DATA), TimeoutError("timed out"), urllib.error.HTTPError("https://a", 404, "Not Found", {}, None)],
    ids=["broken off", "no answer", "not found"],
)
def test_an_address_that_fails_is_named_with_the_way_out(read, source, monkeypatch, answer):
    answering(monkeypatch, answer)
    with pytest.raises(UserError, match=r"evaluate.inception.weights: https://a/b cannot be fetched: .*name its path"):
        read("https://a/b", SHA256)
    assert kept() == []


def test_half_an_answer_that_ends_in_order_is_not_kept(read, source, monkeypatch):
    answering(monkeypatch, io.BytesIO(DATA[:500]))
    with pytest.raises(UserError, match=f"expected {SHA256}"):
        read("https://a/b", SHA256)
    assert kept() == []


def test_other_schemes_and_missing_files_are_named(read, source):
    with pytest.raises(UserError, match="http://a/b: expected a path, or an address that begins with https: or file:"):
        read("http://a/b", SHA256)
    with pytest.raises(UserError, match=r"evaluate.inception.weights: .*none.pth cannot be read: No such file"):
        read("none.pth", SHA256)


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, by the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache/understudy/weights"
