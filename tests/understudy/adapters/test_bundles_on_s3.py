"""Bundles to and from real S3 servers: written once, gone on with after a kill, whole or not there."""

import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from free_ports import free_port
from s3_proxy import Proxy
from s3_servers import BUCKET, Ceph, Rclone, Server, use

from understudy import bundle, checksums
from understudy.adapters import s3_upload
from understudy.adapters.fetch_bundle import fetch
from understudy.adapters.publish import UNGUARDED, write
from understudy.errors import DATA_FAILED, UserError
from understudy.files import sha256

MB = 2**20
SMALL = 5 * MB  # the smallest part that S3 takes
BIG = 4 * SMALL + 12345
WRITE = """
import sys
from pathlib import Path
from understudy.adapters import publish, s3_upload
s3_upload.PART = int(sys.argv[3])
publish.write({path.name: path for path in sorted(Path(sys.argv[1]).iterdir())}, sys.argv[2])
"""
FETCH = """
import sys
from pathlib import Path
from understudy.adapters.fetch_bundle import fetch
fetch(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    """A place of its own for each test."""
    return f"s3://{BUCKET}/{re.sub('[^a-z0-9]+', '-', request.node.name)}/street"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def files(folder: Path, **contents: bytes) -> dict[str, Path]:
    """Files of a bundle; `_` in a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, content in sorted(({"arch_json": b"{}", "weights_safetensors": noise(3000)} | contents).items()):
        path = folder / name.replace("_", ".")
        path.write_bytes(content)
        found[path.name] = path
    return found


def key(address: str) -> str:
    return address.removeprefix(f"s3://{BUCKET}/")


def objects(server: Server, address: str) -> dict[str, bytes]:
    """By key, without the address."""
    prefix, client = f"{key(address)}/", server.client()
    found = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
    return {name.removeprefix(prefix): client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in found}


def refused(call: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        call()
    return caught.value


def killed_once(reached: Callable[[], bool], program: str, *arguments: str) -> None:
    """Run a program, and kill it when it has got so far."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end, "nothing arrives"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_bundle_goes_there_and_comes_back(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    use(monkeypatch, server)
    sent = files(tmp_path / "sent", big=noise(9 * MB), empty=b"")
    done = write(sent, f"{address}/3")
    assert (done.files, done.sent, done.kept) == (4, 9 * MB + 3002, 0)
    assert done.notes == ((UNGUARDED,) if isinstance(server, Rclone) else ())
    there = objects(server, f"{address}/3")
    assert there.keys() == {*sent, checksums.NAME, bundle.BEGUN} and there[checksums.NAME] == there[bundle.BEGUN]

    output = tmp_path / "here" / "street"
    fetched = fetch(f"{address}/3", output)
    assert (fetched.address, fetched.files, fetched.new, fetched.notes) == (f"{address}/3", 4, True, ())
    assert {path.name: path.read_bytes() for path in output.iterdir()} == {
        **{name: path.read_bytes() for name, path in sent.items()}, checksums.NAME: there[checksums.NAME]
    }  # fmt: skip
    check = ["sha256sum", "--check", "--strict", checksums.NAME]
    assert subprocess.run(check, cwd=output, capture_output=True).returncode == 0
    assert [path.name for path in output.parent.iterdir()] == ["street"]

    again = write(sent, f"{address}/3")
    assert (again.sent, again.kept) == (0, done.sent) and objects(server, f"{address}/3") == there
    assert not fetch(f"{address}/3", output).new


def test_another_bundle_under_the_same_version_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    use(monkeypatch, server)
    write(files(tmp_path / "one"), f"{address}/1")
    before = objects(server, f"{address}/1")
    error = refused(lambda: write(files(tmp_path / "two", arch_json=b"[]", more=b"x"), f"{address}/1"))
    assert str(error) == (
        f"{address}/1: another bundle has this version (arch.json, more differ); nothing was overwritten: publish a "
        "new version, or below another prefix"
    )
    assert objects(server, f"{address}/1") == before


def test_an_object_that_somebody_put_there_is_not_overwritten(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    use(monkeypatch, server)
    taken = f"{key(address)}/1/weights.safetensors"
    server.put({taken: noise(3000, seed=1)})  # of the very size
    error = refused(lambda: write(files(tmp_path / "one"), f"{address}/1"))
    assert str(error).startswith(f"s3://{BUCKET}/{taken}: is there with other content") and "not overwritten" in str(
        error
    )
    there = objects(server, f"{address}/1")
    assert there["weights.safetensors"] == noise(3000, seed=1) and checksums.NAME not in there
    assert "was begun and is not whole" in str(refused(lambda: fetch(f"{address}/1", tmp_path / "out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_publisher_is_gone_on_with(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, through: Callable[..., Proxy]
) -> None:
    proxy = through(ceph)
    sent = files(tmp_path / "sent", big=noise(BIG), after=b"x")
    proxy.hold = lambda line: "partNumber=" in line and int(line.partition("partNumber=")[2].partition("&")[0]) > 3
    killed_once(lambda: len(proxy.parts()) == 3, WRITE, str(tmp_path / "sent"), f"{address}/1", str(SMALL))
    assert sorted(proxy.parts()) == [1, 2, 3]
    assert objects(proxy, f"{address}/1").keys() == {"after", "arch.json", bundle.BEGUN}
    assert "was begun and is not whole" in str(refused(lambda: fetch(f"{address}/1", tmp_path / "out")))

    proxy.hold = lambda line: False
    proxy.seen.clear()
    monkeypatch.setattr(s3_upload, "PART", SMALL)
    done = write(sent, f"{address}/1")
    assert sorted(proxy.parts()) == [4, 5]  # and none of those that were there
    assert (done.sent, done.kept) == (BIG - 3 * SMALL + 3000, 3 * SMALL + 3)
    assert sum(line.startswith("POST ") for line in proxy.seen) == 1  # no upload was begun: the old one is completed
    fetch(f"{address}/1", tmp_path / "out")
    assert sha256(tmp_path / "out" / "big") == sha256(sent["big"])


@pytest.mark.slow
def test_parts_of_another_file_are_sent_anew(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, through: Callable[..., Proxy]
) -> None:
    proxy = through(ceph)
    monkeypatch.setattr(s3_upload, "PART", SMALL)
    sent = files(tmp_path / "sent", big=noise(2 * SMALL + 1))
    big, client = f"{key(address)}/1/big", ceph.client()
    left = client.create_multipart_upload(Bucket=BUCKET, Key=big)["UploadId"]
    for number, content in ((1, noise(SMALL, seed=5)), (2, noise(2 * SMALL)[SMALL:])):  # spoilt, right
        client.upload_part(Bucket=BUCKET, Key=big, UploadId=left, PartNumber=number, Body=content)
    write(sent, f"{address}/1")
    assert sorted(proxy.parts()) == [1, 3]
    assert objects(ceph, f"{address}/1")["big"] == noise(2 * SMALL + 1)


@pytest.mark.slow
def test_two_publishers_at_once(ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str) -> None:
    use(monkeypatch, ceph)
    monkeypatch.setattr(s3_upload, "PART", SMALL)

    def both(version: int, *bundles: dict[str, Path]) -> list[str]:
        """What each was told: nothing when all is well."""
        start, said = threading.Barrier(len(bundles)), [""] * len(bundles)

        def one(index: int) -> None:
            start.wait()
            try:
                write(bundles[index], f"{address}/{version}")
            except UserError as error:
                said[index] = str(error)

        threads = [threading.Thread(target=one, args=(index,)) for index in range(len(bundles))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return said

    same = files(tmp_path / "same", big=noise(SMALL + 1))
    assert both(100, same, same, same) == ["", "", ""]
    assert objects(ceph, f"{address}/100")["big"] == noise(SMALL + 1)
    for version in range(2):
        rivals = [files(tmp_path / str(seed), big=noise(SMALL + 1, seed)) for seed in (1, 2, 3)]
        said = both(version, *rivals)
        assert sorted(map(bool, said)) == [False, True, True]
        assert all("another bundle has this version (big differ)" in one for one in said if one)
        assert objects(ceph, f"{address}/{version}")["big"] == noise(SMALL + 1, said.index("") + 1)
        fetch(f"{address}/{version}", tmp_path / f"out-{version}")


@pytest.mark.slow
def test_a_bucket_that_ignores_conditions_is_noticed(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ceph's, with versioning: If-None-Match is of no effect there."""
    use(monkeypatch, ceph)
    client = ceph.client()
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    assert write(files(tmp_path / "one"), "s3://versioned/street/1").notes == (UNGUARDED,)
    assert "another bundle" in str(refused(lambda: write(files(tmp_path / "two", x=b""), "s3://versioned/street/1")))
    fetch("s3://versioned/street", tmp_path / "out")


def test_each_refusal_is_one_line_that_says_what_to_mend(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    sent = files(tmp_path / "sent")

    def both(to: str, said: str) -> None:
        for call in (lambda: write(sent, to), lambda: fetch(to, tmp_path / "out" / "street")):
            assert said in str(error := refused(call)) and "\n" not in str(error)

    use(monkeypatch, server)
    both("s3://no-bucket/street/1", "s3://no-bucket/street/1: no such bucket")
    for odd in ("street", "s3://", "https://host/street", f"s3://{BUCKET}/../street", f"s3://{BUCKET}//street"):
        both(odd, "expected s3://BUCKET/PREFIX")
    use(monkeypatch, server, AWS_SECRET_ACCESS_KEY="wrong")
    both(f"{address}/1", "the credentials are refused (SignatureDoesNotMatch)")
    use(monkeypatch, server, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", AWS_MAX_ATTEMPTS="1")
    both(f"{address}/1", "the server cannot be reached")
    use(monkeypatch, server, AWS_ENDPOINT_URL="nonsense")
    both(f"{address}/1", "AWS_ENDPOINT_URL or AWS_MAX_ATTEMPTS: Invalid endpoint")
    assert not (tmp_path / "out").exists()


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_named(
    rclone: Rclone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, through: Callable[..., Proxy]
) -> None:
    proxy = through(rclone)
    sent, met = files(tmp_path / "sent"), set[str]()

    def first_time(line: str) -> bool:
        return line.startswith("PUT ") and not (line in met or met.add(line))

    proxy.refuse = first_time
    write(sent, f"{address}/1")
    assert len(met) == 4 and objects(rclone, f"{address}/1").keys() == {*sent, checksums.NAME, bundle.BEGUN}
    proxy.refuse = lambda line: "/weights" in line
    use(monkeypatch, proxy, AWS_MAX_ATTEMPTS="1")
    error = str(refused(lambda: write(sent, f"{address}/2")))
    assert error.startswith(f"{address}/2: ") and "503" in error and "\n" not in error
    assert checksums.NAME not in objects(rclone, f"{address}/2")


@pytest.mark.slow
def test_the_permissions_of_the_documentation_are_enough(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repo: Path
) -> None:
    stranger = ceph.stranger()
    text = (repo / "docs" / "publishing.md").read_text()
    publisher, reader = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)[:2])
    monkeypatch.setattr(s3_upload, "PART", SMALL)
    sent = files(tmp_path / "sent", big=noise(SMALL + 1))

    def allow(policy: dict) -> None:
        given = json.loads(json.dumps(policy).replace("YOUR-BUCKET", "permitted"))
        for statement in given["Statement"]:
            statement["Principal"] = {"AWS": ["arn:aws:iam:::user/stranger"]}
        ceph.client().put_bucket_policy(Bucket="permitted", Policy=json.dumps(given))

    ceph.client().create_bucket(Bucket="permitted")
    use(monkeypatch, ceph, **stranger)
    denied = str(refused(lambda: write(sent, "s3://permitted/models/street/1")))
    assert "access denied" in denied and "s3:ListMultipartUploadParts" in denied
    allow(publisher)
    assert write(sent, "s3://permitted/models/street/1").notes == ()
    allow(reader)
    assert fetch("s3://permitted/models/street", tmp_path / "out").new
    assert "access denied" in str(refused(lambda: write(sent, "s3://permitted/models/street/2")))
    stated = json.dumps([publisher, reader])
    assert "Delete" not in stated and "s3:*" not in stated


# --- fetching


def test_the_newest_whole_version_is_fetched(
    rclone: Rclone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    use(monkeypatch, rclone)
    for version in (9, 10):
        write(files(tmp_path / str(version), version=str(version).encode()), f"{address}/{version}")
    rclone.put({f"{key(address)}/11/{bundle.BEGUN}": b"begun"})
    done = fetch(f"{address}/", tmp_path / "out")
    assert (done.address, done.notes) == (f"{address}/10", ("version 11 is not whole, and was passed over",))
    assert (tmp_path / "out" / "version").read_text() == "10"
    above = address.rpartition("/")[0]
    assert str(refused(lambda: fetch(above, tmp_path / "up"))).endswith("(no SHA256SUMS); below it are street")
    assert "no bundle is published there" in str(refused(lambda: fetch(f"{address}/12", tmp_path / "none")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "9", "out"]


def test_what_is_missing_changed_or_extra_is_named_and_nothing_is_left(
    rclone: Rclone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    use(monkeypatch, rclone)
    write(files(tmp_path / "sent", one=b"1" * 100, two=b"2" * 100), f"{address}/1")
    folder, client = f"{key(address)}/1", rclone.client()

    def error() -> str:
        found = refused(lambda: fetch(f"{address}/1", tmp_path / "out"))
        assert found.code == DATA_FAILED and not (tmp_path / "out").exists()
        return str(found)

    rclone.put({f"{folder}/one": b"3" * 100})  # of the same size
    assert f"\n  {address}/1/one: was changed (it has SHA-256 " in error() and "two" not in error()
    rclone.put({f"{folder}/stray": b"x"})
    client.delete_object(Bucket=BUCKET, Key=f"{folder}/two")
    assert error() == (
        f"not what was published, so no folder was made:\n  {address}/1/two: is gone\n  {address}/1/stray: was added"
    )
    client.delete_object(Bucket=BUCKET, Key=f"{folder}/stray")
    rclone.put({f"{folder}/one": b"1" * 100, f"{folder}/two": b"2" * 100})
    assert fetch(f"{address}/1", tmp_path / "out").new  # nothing spoilt was kept
    rclone.put({f"{folder}/{checksums.NAME}": f"{'0' * 64}  ../evil\n".encode()})
    assert "line 1 is not a SHA-256" in str(refused(lambda: fetch(f"{address}/1", tmp_path / "other")))


def test_a_folder_that_holds_something_else_is_not_overwritten(
    rclone: Rclone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    use(monkeypatch, rclone)
    write(files(tmp_path / "sent"), f"{address}/1")
    (tmp_path / "empty").mkdir()
    assert fetch(f"{address}/1", tmp_path / "empty").new
    (tmp_path / "empty" / "arch.json").write_text("mine")
    (tmp_path / "empty" / "notes").write_text("mine too")
    error = str(refused(lambda: fetch(f"{address}/1", tmp_path / "empty")))
    assert "is not overwritten" in error and "arch.json: was changed" in error and "notes: was added" in error
    assert (tmp_path / "empty" / "arch.json").read_text() == "mine"
    for number in range(9):
        (tmp_path / "empty" / f"more-{number}").touch()
    assert str(refused(lambda: fetch(f"{address}/1", tmp_path / "empty"))).endswith("\n  and 3 more")
    monkeypatch.chdir(tmp_path / "empty")
    assert "is not overwritten" in str(refused(lambda: fetch(f"{address}/1", Path())))
    (tmp_path / "file").write_text("mine")
    assert "file: is a file" in str(refused(lambda: fetch(f"{address}/1", tmp_path / "file")))


@pytest.mark.slow
def test_a_killed_fetch_is_gone_on_with(
    rclone: Rclone, tmp_path: Path, address: str, through: Callable[..., Proxy]
) -> None:
    proxy = through(rclone)
    write(files(tmp_path / "sent", last=b"x"), f"{address}/1")
    proxy.hold = lambda line: line.startswith("GET ") and "/last" in line
    proxy.seen.clear()
    output = tmp_path / "out"
    killed_once(lambda: len(list(tmp_path.glob(".out.part/copy/bundle/*"))) == 2, FETCH, f"{address}/1", str(output))
    assert not output.exists()
    proxy.hold = lambda line: False
    assert fetch(f"{address}/1", output).new
    got = [line for line in proxy.seen if line.startswith("GET ") and re.search("/(arch|weights|last)", line)]
    assert len(got) == 3  # each of them once in both runs
    assert not list(tmp_path.glob(".out*"))
