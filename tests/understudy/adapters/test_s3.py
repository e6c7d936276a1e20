"""Fetching from real S3 servers, that refuse, die, come back and change their mind."""

import base64
import hashlib
import io
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from free_ports import free_port
from s3_proxy import Proxy
from s3_servers import BUCKET, Ceph, Rclone, Server, serving, use

from understudy.adapters.s3 import fetch
from understudy.adapters.s3_client import connect
from understudy.adapters.s3_object import receive
from understudy.data.mirror import Remote, placed
from understudy.errors import UserError

MB = 10**6


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[Rclone]:
    """A server of its own for a test that kills it; slow enough to be met at work."""
    with serving("rclone", tmp_path / "served") as server:
        assert isinstance(server, Rclone)
        server.stop()
        server.start("--bwlimit", "8M")
        yield server


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/parts/*") if path.stat().st_size]


def wait_for_part(folder: Path, size: int) -> Path:
    end = time.monotonic() + 30
    while not [part for part in parts(folder) if part.stat().st_size > size]:
        assert time.monotonic() < end, "nothing arrives"
        time.sleep(0.02)
    return parts(folder)[0]


def refused(source: str, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        fetch(source, folder)
    assert str(caught.value).startswith(f"prepare.source: {source}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_prefix_becomes_a_folder_and_a_key_a_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, server)
    content = {"a.png": noise(10), "train/街 1.png": noise(3 * MB), "train/empty": b""}
    server.put({f"one/set/{path}": data for path, data in content.items()} | {"one/set2/x": b"of another set"})
    assert files(fetch(f"s3://{BUCKET}/one/set", tmp_path)) == content
    assert fetch(f"s3://{BUCKET}/one/set/", tmp_path).name == "set"
    whole = fetch(f"s3://{BUCKET}/one/set/a.png", tmp_path)
    assert (whole.name, whole.read_bytes()) == ("a.png", noise(10))
    assert not list(tmp_path.glob("*/parts"))


def test_what_is_here_and_unchanged_is_not_fetched_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    use(monkeypatch, server)
    server.put({f"two/{i}": noise(100 + i) for i in range(5)})
    folder = fetch(f"s3://{BUCKET}/two", tmp_path)
    assert "5 of 5 objects to fetch" in capsys.readouterr().err
    fetch(f"s3://{BUCKET}/two", tmp_path)
    assert "5 objects, all here and unchanged" in capsys.readouterr().err
    for key in ("two/0", "two/4"):
        server.client().delete_object(Bucket=BUCKET, Key=key)
    server.put({"two/1": noise(7), "two/new/6": noise(8), "two/4/now a folder": noise(9)})
    (folder / "2").write_bytes(noise(102)[::-1])  # somebody's own change, of the same size
    (folder / "stray").write_bytes(b"x")
    fetch(f"s3://{BUCKET}/two", tmp_path)
    assert "4 of 5 objects to fetch" in capsys.readouterr().err
    found = files(folder)
    assert "0" not in found and "stray" not in found
    assert found["1"] == noise(7) and found["new/6"] == noise(8) and found["2"] == noise(102)
    assert found["4/now a folder"] == noise(9)


@pytest.mark.slow
def test_more_objects_than_one_listing_holds(ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, ceph)
    ceph.put({f"many/{i}.txt": str(i).encode() for i in range(1050)})
    assert files(fetch(f"s3://{BUCKET}/many", tmp_path)) == {f"{i}.txt": str(i).encode() for i in range(1050)}


def test_each_refusal_is_one_line_that_says_what_to_mend(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.put({"three/a": b"a"})
    source = f"s3://{BUCKET}/three"
    use(monkeypatch, server)
    assert "no such object, and none below it" in refused(f"s3://{BUCKET}/thre", tmp_path)
    assert "no such bucket" in refused("s3://no-bucket/three", tmp_path)
    assert "expected s3://BUCKET" in refused("s3:///three", tmp_path)
    assert "expected s3://BUCKET" in refused(f"s3://{BUCKET}/three/..", tmp_path)
    use(monkeypatch, server, AWS_SECRET_ACCESS_KEY="wrong")
    assert "credentials are refused (SignatureDoesNotMatch)" in refused(source, tmp_path)
    use(monkeypatch, server, AWS_ACCESS_KEY_ID="NOBODYSKEY")
    assert "credentials are refused (InvalidAccessKeyId)" in refused(source, tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials" in refused(source, tmp_path)
    use(monkeypatch, server, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", AWS_MAX_ATTEMPTS="1")
    assert "the server cannot be reached" in refused(source, tmp_path)
    use(monkeypatch, server, AWS_ENDPOINT_URL="nonsense")
    assert "AWS_ENDPOINT_URL or AWS_MAX_ATTEMPTS: Invalid endpoint" in refused(source, tmp_path)


@pytest.mark.slow
def test_a_copy_goes_on_where_a_kill_ended_it(
    dying: Rclone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    use(monkeypatch, dying)
    (dying.folder / BUCKET / "big").write_bytes(noise(24 * MB))
    source, copies = f"s3://{BUCKET}/big", tmp_path / "copies"
    process = subprocess.Popen([sys.executable, "-m", "understudy.adapters.s3", source, str(copies)])
    part = wait_for_part(copies, 4 * MB)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    assert 4 * MB < kept < 24 * MB and not list(copies.glob("*/copy/big"))
    assert fetch(source, copies).read_bytes() == noise(24 * MB)
    assert f"fetched {(24 * MB - kept) / 1e6:,.1f} MB ({kept / 1e6:,.1f} MB more were here" in capsys.readouterr().err


@pytest.mark.slow
def test_a_copy_goes_on_when_a_dead_server_comes_back(
    dying: Rclone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, dying, AWS_MAX_ATTEMPTS="1")
    (dying.folder / BUCKET / "big").write_bytes(noise(24 * MB))
    copies, fetched = tmp_path / "copies", list[Path]()
    thread = threading.Thread(target=lambda: fetched.append(fetch(f"s3://{BUCKET}/big", copies)))
    thread.start()
    part = wait_for_part(copies, 4 * MB)
    dying.stop()
    time.sleep(1.5)
    kept = part.stat().st_size
    assert thread.is_alive() and not list(copies.glob("*/copy/big"))
    dying.start("--bwlimit", "8M")
    least = kept
    while thread.is_alive():
        with suppress(FileNotFoundError):  # whole, and under its own name
            least = min(least, part.stat().st_size)
        time.sleep(0.05)
    assert least == kept  # it never began anew
    assert fetched[0].read_bytes() == noise(24 * MB)


def test_a_server_that_stays_away_ends_in_one_line_and_no_file(
    dying: Rclone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, dying, AWS_MAX_ATTEMPTS="1")
    monkeypatch.setattr("understudy.adapters.s3_object.PAUSES", (0.1, 0.1))
    (dying.folder / BUCKET / "big").write_bytes(noise(24 * MB))
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(refused(f"s3://{BUCKET}/big", tmp_path / "copies")))
    thread.start()
    wait_for_part(tmp_path / "copies", 2 * MB)
    dying.stop()
    thread.join(60)
    assert "cannot be reached or stopped answering" in said[0]
    assert not list((tmp_path / "copies").glob("*/copy/big")) and parts(tmp_path / "copies")


def test_a_spoilt_part_is_found_by_its_checksum_and_fetched_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, server)
    server.put({"five/a": noise(3 * MB)})
    entry = server.client().list_objects_v2(Bucket=BUCKET, Prefix="five/a")["Contents"][0]
    remote, part = Remote("five/a", entry["ETag"].strip('"'), entry["Size"]), tmp_path / "part"
    for left in (b"spoilt" + noise(3 * MB)[6 : 2 * MB], bytes(3 * MB), bytes(4 * MB), noise(3 * MB)[: 2 * MB]):
        part.write_bytes(left)
        receive(connect("a test"), BUCKET, remote, part, threading.Event())
        assert part.read_bytes() == noise(3 * MB)


def test_an_object_that_changes_meanwhile_is_not_pieced_together(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, server)
    server.put({"six/a": noise(2 * MB)})
    (tmp_path / "part").write_bytes(noise(MB))
    with pytest.raises(UserError, match=r"six/a: changed while it was being fetched; run it again"):
        receive(connect("a test"), BUCKET, Remote("six/a", "0" * 32, 2 * MB), tmp_path / "part", threading.Event())


@pytest.mark.slow
def test_an_upload_in_several_pieces_arrives(ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, ceph)
    (tmp_path / "big").write_bytes(noise(12 * MB))
    pieces = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=6 * MB)
    ceph.client().upload_file(str(tmp_path / "big"), BUCKET, "seven/big", Config=pieces)
    assert ceph.client().head_object(Bucket=BUCKET, Key="seven/big")["ETag"].endswith('-2"')
    assert fetch(f"s3://{BUCKET}/seven", tmp_path / "copies").joinpath("big").read_bytes() == noise(12 * MB)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sha256", "sha1", "crc32"])
def test_pieces_that_arrive_damaged_are_told_by_the_uploader_s_checksum(
    kind: str, ceph: Ceph, tmp_path: Path, through: Callable[..., Proxy]
) -> None:
    """The version of an object of several pieces is no MD5. AWS tells the checksum over all of it, Ceph does not."""
    proxy, content, key = through(ceph), noise(6 * MB), f"eight/{kind}"
    pieces = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB)
    ceph.client().upload_fileobj(io.BytesIO(content), BUCKET, key, Config=pieces)
    value = zlib.crc32(content).to_bytes(4, "big") if kind == "crc32" else hashlib.new(kind, content).digest()
    told = {f"x-amz-checksum-{kind}": base64.b64encode(value).decode(), "x-amz-checksum-type": "FULL_OBJECT"}
    left = 1  # how many more answers are damaged

    def damaged(line: str, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        nonlocal left
        if line.startswith("HEAD "):
            return headers | told, body
        if f"/{key}?" in f"{line}?" and left:
            left -= 1
            return headers, b"spoilt" + body[6:]
        return headers, body

    proxy.change = damaged
    assert fetch(f"s3://{BUCKET}/{key}", tmp_path / "once").read_bytes() == content
    assert left == 0
    left = 2
    with pytest.raises(UserError, match=f"s3://{BUCKET}/{key}: twice arrived with another checksum"):
        fetch(f"s3://{BUCKET}/{key}", tmp_path / "twice")
    assert not list((tmp_path / "twice").glob("*/copy/*"))
    told.clear()
    left = 1
    assert fetch(f"s3://{BUCKET}/{key}", tmp_path / "untold").read_bytes() != content  # nothing tells it then


@pytest.mark.slow
def test_a_source_is_fetched_through_a_server_that_is_often_too_busy(
    rclone: Rclone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, through: Callable[..., Proxy]
) -> None:
    content = {"a": noise(3 * MB), "b/c": noise(100)}
    rclone.put({f"nine/{path}": data for path, data in content.items()})
    proxy, asked = through(rclone, AWS_MAX_ATTEMPTS="2"), Counter[str]()
    monkeypatch.setattr("understudy.adapters.s3_object.PAUSES", (0.1, 0.1, 0.1))

    def busy(line: str) -> bool:
        """The first time, and an object more often than boto3 asks by itself."""
        asked[line] += 1
        return asked[line] <= (3 if "/nine/" in line else 1)

    proxy.refuse = busy
    assert files(fetch(f"s3://{BUCKET}/nine", tmp_path / "copies")) == content
    assert sum("/nine/" in line for line in asked) == 2 and min(asked.values()) >= 2
    proxy.refuse = lambda line: "/nine/" in line
    message = refused(f"s3://{BUCKET}/nine", tmp_path / "never")
    assert "SlowDown" in message and not files(tmp_path / "never").keys() & {"a", "b/c"}
    assert not list((tmp_path / "never").glob("*/copy/*"))


@pytest.mark.slow
def test_a_stranger_is_told_what_it_takes(ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ceph.put({"eight/a": b"a"})
    use(monkeypatch, ceph, **ceph.stranger())
    assert "access denied (AccessDenied): it takes s3:ListBucket" in refused(f"s3://{BUCKET}/eight", tmp_path)


@pytest.mark.slow
def test_keys_that_climb_out_are_listed_and_nothing_is_fetched(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, ceph)
    ceph.put({f"nine/{key}": b"x" for key in ("good", "../evil", "a/../../evil", "/etc/evil", "a//b", "good/too")})
    with pytest.raises(UserError) as caught:
        fetch(f"s3://{BUCKET}/nine", tmp_path / "copies")
    message = str(caught.value)
    assert "5 keys that cannot be files here, nothing was fetched" in message
    assert "nine/../evil: climbs out" in message and "nine/a//b: is no file's path" in message
    assert "nine/good: is a file and a folder" in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]


@pytest.mark.parametrize("key", ["../a", "a/../b", "/a", "C:/a", "a\\..\\b", "a//b", "./a", "a/.", "", "a/"])
def test_no_key_becomes_a_path_elsewhere(key: str) -> None:
    with pytest.raises(UserError, match="1 key that cannot be files"):
        placed([Remote(f"p/{key}", "0", 1)], "p/", "s3://b/p")
