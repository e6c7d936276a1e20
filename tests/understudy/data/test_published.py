"""Sets that are fetched: whole and the right ones or not at all, and what has arrived once is not fetched again."""

import contextlib
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from paired_set import names, photo, zipped

from understudy import fetch
from understudy.data import published
from understudy.data.prepare import open_source
from understudy.data.source import Wanted
from understudy.data.terms import SPLITS
from understudy.errors import UserError

A_TO_B = Wanted("unpaired", "AtoB")
REPO = Path(__file__).parents[3]


class Server(ThreadingHTTPServer):
    """Serves `content` at every path and notes which ranges it was asked for.

    ends_after: bytes of the whole after which connections break. ranges: whether it knows them.
    """

    content = b""
    ends_after: int | None = None
    ranges = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        self.send_response(206 if start else self.server.status)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # of a client that has read enough
            self.wfile.write(self.server.content[start : self.server.ends_after])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of a set in which every folder is there twice, as in the archive of maps."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(published, "SCHEMES", ("http", "file"))
    folder = tmp_path / "set"
    for s, split in enumerate(SPLITS):
        for side in "AB":
            for at, place in enumerate((f"{split}{side}", f"{split}")):
                (folder / place).mkdir(parents=True, exist_ok=True)
                photo(10 * s + at).save(folder / place / f"{side}.png")
    with Server() as server:
        server.content = zipped(folder, tmp_path / "set.zip", "maps/").read_bytes()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def describe(server: Server, path: Path, **changes: object) -> Path:
    description = {
        "address": f"http://127.0.0.1:{server.server_port}/maps.zip",
        "bytes": len(server.content),
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "folders": [f"{split}{side}" for split in SPLITS for side in "AB"],
        "licence": "for tests",
    }
    path.write_text(yaml.safe_dump(description | changes))
    return path


def kept() -> dict[str, int]:
    """What the cache holds beside locks: the ending of each name, and its size."""
    found = (fetch.cache().parent / "sets").glob("*")
    return {path.suffix: path.stat().st_size for path in found if path.suffix != ".lock"}


def test_a_set_is_fetched_once_and_only_its_folders_are_read(server: Server, tmp_path: Path) -> None:
    path = describe(server, tmp_path / "tiny-maps.yaml")
    for _ in range(2):
        source = open_source(path, A_TO_B)
        assert (source.name, source.classes.licence) == ("tiny-maps", "for tests")
        assert [names(source, split) for split in SPLITS] == [("B",)] * 3 and not source.problems
    assert server.asked == [None]
    assert kept() == {"": len(server.content)}


@pytest.mark.parametrize("ranges", [True, False])
def test_what_broke_off_is_gone_on_with(server: Server, tmp_path: Path, ranges: bool) -> None:
    path, server.ends_after = describe(server, tmp_path / "set.yaml"), 1000
    with pytest.raises(UserError, match=r"set\.yaml: http://.* cannot be fetched: .*Run it again to go on") as caught:
        open_source(path, A_TO_B)
    assert "give its path as prepare.source" in str(caught.value)
    assert kept() == {".part": 1000}
    server.ends_after, server.ranges = None, ranges
    assert names(open_source(path, A_TO_B), "test") == ("B",)
    assert server.asked == [None, "bytes=1000-"] and kept() == {"": len(server.content)}


@pytest.mark.parametrize("spoil", ["changed", "longer", "shorter"])
def test_another_file_is_refused_and_not_kept(server: Server, tmp_path: Path, spoil: str) -> None:
    path = describe(server, tmp_path / "set.yaml")
    content = server.content
    server.content = {"changed": b"x" + content[1:], "longer": content + b"x", "shorter": content[:-1]}[spoil]
    with pytest.raises(UserError) as caught:
        open_source(path, A_TO_B)
    if spoil == "shorter":
        assert "the connection ended early" in str(caught.value)
    else:
        assert "another file, or an error page. Nothing was kept" in str(caught.value)
        assert kept() == {}
        server.content = content
        assert names(open_source(path, A_TO_B), "val") == ("B",)


def test_a_server_that_never_ends_fills_no_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sizes = describe(server, tmp_path / "set.yaml"), []
    server.content += bytes(10 * published.BLOCK)
    monkeypatch.setattr(published, "sha256", lambda part: sizes.append(part.stat().st_size))
    with pytest.raises(UserError, match="another file"):
        open_source(path, A_TO_B)
    assert sizes and sizes[0] <= len(server.content) - 9 * published.BLOCK and kept() == {}


def test_what_is_kept_is_looked_at_each_time(server: Server, tmp_path: Path) -> None:
    path = describe(server, tmp_path / "set.yaml")
    open_source(path, A_TO_B)
    whole = fetch.cache().parent / "sets" / hashlib.sha256(server.content).hexdigest()
    whole.write_bytes(b"spoilt")
    open_source(path, A_TO_B)
    assert server.asked == [None, None] and whole.read_bytes() == server.content


def test_an_address_that_gives_nothing_is_named(server: Server, tmp_path: Path) -> None:
    path, server.status = describe(server, tmp_path / "set.yaml"), 404
    with pytest.raises(UserError, match=r"maps\.zip cannot be fetched: HTTP Error 404"):
        open_source(path, A_TO_B)
    assert kept() == {}


def test_a_folder_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    path = describe(server, tmp_path / "set.yaml", folders=["trainA", "trainC", "B.png"])
    with pytest.raises(UserError, match=r"has no folder trainC, B\.png"):
        open_source(path, A_TO_B)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"address": "ftp://example.org/x.zip"}, "address: begins with"),
        ({"sha256": "12"}, "sha256: expected the 64 digits"),
        ({"bytes": 0}, "bytes: must be positive"),
        ({"folders": []}, "folders: name those"),
        ({"licence": " "}, "licence: a text"),
        ({"seed": 1}, "unknown key seed"),
    ],
)
def test_the_description_is_checked(server: Server, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=rf"set\.yaml.*{message}"):
        open_source(describe(server, tmp_path / "set.yaml", **changes), A_TO_B)
    assert server.asked == []


def test_the_stage_takes_such_a_description(server: Server, tmp_path: Path) -> None:
    path = describe(server, tmp_path / "tiny.yaml", address=(tmp_path / "set.zip").as_uri())
    prepare = {
        "source": str(path),
        "kind": "unpaired",
        "direction": "BtoA",
        "instances": False,
        "size": [24, 24],
        "load_size": None,
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"prepare": prepare}))
    command = [sys.executable, "-m", "stages.prepare", "--root", str(tmp_path), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert "licence: for tests" in done.stdout and "inputs: 1 train, 1 val, 1 test" in done.stdout


@pytest.mark.parametrize("path", sorted((REPO / "datasets").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_descriptions_are_well_formed(path: Path) -> None:
    if published.is_published(path):
        description = published.parse(published._Description, published.read(path), str(path))
        assert description.address.startswith("https://") and description.address.endswith(f"/{path.stem}.zip")
