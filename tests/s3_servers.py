"""Real S3 servers on this machine, for tests: rclone's (PyPI) everywhere, Ceph's gateway (Debian) where installed."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from free_ports import free_port

KEYS = ("UNDERSTUDYKEY", "understudysecret")
BUCKET = "pictures"


class Server:
    """A server with one bucket."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 needs to know, and nothing of the machine's own."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": os.devnull,  # where ~/.aws would be
        }

    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1", aws_access_key_id=KEYS[0],
            aws_secret_access_key=KEYS[1],
        )  # fmt: skip

    def put(self, files: dict[str, bytes]) -> None:
        client = self.client()
        for key, content in files.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=content)

    @property
    def process(self) -> subprocess.Popen:
        """The process that answers requests."""
        raise NotImplementedError

    def pause(self) -> None:
        """Answer nobody: connections are taken and nothing comes."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float = 60) -> None:
        """Until it answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.client().list_buckets()
                return
            except (BotoCoreError, ClientError):
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.1)


class Rclone(Server):
    """Serves a folder. Checks keys; knows no policies, and heeds no If-Match."""

    def __init__(self, folder: Path) -> None:
        super().__init__(free_port())
        self.folder = folder
        (folder / BUCKET).mkdir(parents=True)

    def start(self, *options: str) -> None:
        rclone = Path(sys.executable).parent / "rclone"
        command = [rclone, "serve", "s3", "--config", os.devnull, "--auth-key", ",".join(KEYS), *options]
        command += ["--addr", f"127.0.0.1:{self.port}", self.folder]
        self._process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
        self.wait()

    @property
    def process(self) -> subprocess.Popen:
        return self._process

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Ceph(Server):
    """A monitor, one store on a file, and the gateway; keeps nothing."""

    CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{monitor}
mon initial members = a
ms bind msgr2 = false
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
run dir = {folder}
admin socket = {folder}/$cluster-$name.asok
pid file = {folder}/$name.pid
log file = {folder}/$name.log
[mon.a]
mon data = {folder}/mon
[osd.0]
osd crush update on start = false
osd class update on start = false
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 2147483648
osd memory target = 939524096
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 32
"""

    def __init__(self, folder: Path) -> None:
        super().__init__(free_port())
        self._folder, self._processes = folder, list[subprocess.Popen]()

    def start(self) -> None:
        fsid, monitor, folder = uuid.uuid4(), free_port(), self._folder
        for part in ("mon", "osd"):
            (folder / part).mkdir(parents=True)
        configuration = self.CONFIGURATION.format(fsid=fsid, monitor=monitor, port=self.port, folder=folder)
        (folder / "ceph.conf").write_text(configuration)
        address, store = f"[v1:127.0.0.1:{monitor}]", str(uuid.uuid4())
        self._run("monmaptool", "--create", "--fsid", str(fsid), "--addv", "a", address, str(folder / "monmap"))
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", str(folder / "monmap"))
        self._serve("ceph-mon", "-f", "-i", "a")
        self._run("ceph", "osd", "new", store, "0")
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._serve("ceph-osd", "-f", "-i", "0")
        self._serve("radosgw", "-f", "-n", "client.rgw")
        self._user("understudy", *KEYS)
        self.wait()
        self.client().create_bucket(Bucket=BUCKET)

    def stranger(self) -> dict[str, str]:
        """The environment of a user who may read nothing here."""
        self._user("stranger", "STRANGERKEY", "strangersecret")
        return self.environment | {"AWS_ACCESS_KEY_ID": "STRANGERKEY", "AWS_SECRET_ACCESS_KEY": "strangersecret"}

    @property
    def process(self) -> subprocess.Popen:
        return self._processes[-1]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _user(self, name: str, key: str, secret: str) -> None:
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid", name, "--display-name", name,
                  "--access-key", key, "--secret-key", secret)  # fmt: skip

    def _run(self, *command: str) -> None:
        ended = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"

    def _serve(self, *command: str) -> None:
        quiet = subprocess.DEVNULL
        self._processes.append(subprocess.Popen(command, env=self._environment, stdout=quiet, stderr=quiet))

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"CEPH_CONF": str(self._folder / "ceph.conf")}


def use(monkeypatch: pytest.MonkeyPatch, server: Server, **changes: str) -> None:
    """Let boto3 of this process know this server, and nothing else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in (server.environment | changes).items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def serving(kind: str, folder: Path, ceph: type[Ceph] = Ceph) -> Iterator[Server]:
    """A server that runs within the block. Skips the test when there is none of its kind."""
    if kind == "ceph" and not shutil.which("radosgw"):
        pytest.skip("needs Ceph's S3 gateway: make ceph")
    server = ceph(folder) if kind == "ceph" else Rclone(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
