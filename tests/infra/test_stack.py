"""`make stack`: its servers answer those who have the keys, keep what they are given, and are all gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from free_ports import free_port
from mlflow_server import PATIENCE, wait_until

REPO = Path(__file__).parents[2]


def begun(folder: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPO / "infra/stack/run.py"), "--folder", str(folder), "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def exports(stack: subprocess.Popen[str]) -> dict[str, str]:
    """What it prints once all four answer."""
    found: dict[str, str] = {}
    assert stack.stdout is not None and stack.stderr is not None
    while True:
        line = stack.stdout.readline()
        assert line, stack.stderr.read()
        if line.startswith("#"):
            return found
        name, _, value = line.removeprefix("export ").strip().partition("=")
        found[name] = value


def listening(ports: range) -> list[int]:
    return [port for port in ports if socket.socket().connect_ex(("127.0.0.1", port)) == 0]


def left(folder: Path) -> list[str]:
    """The command lines of processes that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:  # it has ended meanwhile
            continue
    return found


def s3(environment: dict[str, str], secret: str):
    return boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
                        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=secret)  # fmt: skip


@pytest.fixture
def place() -> Iterator[tuple[Path, int]]:
    """A folder that Postgres' own user may enter, and the first of four free ports."""
    if not [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]:
        pytest.skip("needs Postgres: make postgres")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        port = free_port()
        while listening(range(port, port + 4)):
            port = free_port()
        yield Path(folder), port


@pytest.mark.slow
def test_it_starts_keeps_and_ends(place):
    folder, port = place
    stack = begun(folder, port)
    try:
        environment = exports(stack)
        assert environment["PREFECT_API_URL"] == f"http://127.0.0.1:{port}/api"
        for address in (f"{environment['PREFECT_API_URL']}/ready", f"{environment['MLFLOW_TRACKING_URI']}/health"):
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                assert answer.status == 200
        client = s3(environment, environment["AWS_SECRET_ACCESS_KEY"])
        client.put_object(Bucket="understudy-runs", Key="kept", Body=b"kept")
        for address in ("runs", "mlflow"):
            assert client.head_bucket(Bucket=f"understudy-{address}")
        with pytest.raises(ClientError):
            s3(environment, "wrong").list_objects_v2(Bucket="understudy-runs")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{environment['AWS_ENDPOINT_URL']}/understudy-runs/kept", timeout=PATIENCE)
        request = urllib.request.Request(
            f"{environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/create",
            data=b'{"name": "kept"}', headers={"Content-Type": "application/json"})  # fmt: skip
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 200
        assert (folder / "keys.json").stat().st_mode & 0o077 == 0
        key = environment["AWS_SECRET_ACCESS_KEY"]
        assert not [line for line in left(folder) if key in line], "every user of the machine sees arguments"
    finally:
        stack.send_signal(signal.SIGINT)
        _, complaints = stack.communicate(timeout=PATIENCE)
    assert stack.returncode == 0 and not complaints
    assert not listening(range(port, port + 4)) and not left(folder)
    assert (folder / "s3/understudy-runs/kept").read_bytes() == b"kept"


@pytest.mark.long
def test_it_is_the_same_the_next_time_and_ends_with_any_of_its_servers(place):
    folder, port = place
    first = begun(folder, port)
    before = exports(first)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=PATIENCE)
    second = begun(folder, port)
    try:
        assert exports(second) == before
        (rclone,) = [int(p.name) for p in Path("/proc").glob("[0-9]*") if is_rclone_of(p, folder)]
        os.kill(rclone, signal.SIGKILL)
        wait_until(lambda: second.poll() is not None, "the stack to end")
        _, complaints = second.communicate(timeout=PATIENCE)
    finally:
        second.kill()
    assert second.returncode == 2 and "s3 has ended" in complaints
    assert not listening(range(port, port + 4)) and not left(folder)


def is_rclone_of(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").resolve().is_relative_to(folder) and "rclone" in (process / "cmdline").read_text()
    except OSError:
        return False


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        stack = begun(tmp_path, taken)
        _, complaints = stack.communicate(timeout=PATIENCE)
    assert stack.returncode == 2 and f"port {taken} is taken" in complaints and "--port" in complaints
