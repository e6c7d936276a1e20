"""Real MLflow servers for tests, on SQLite or Postgres, with artifacts in a folder or on S3; all on loopback."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from free_ports import free_port

PATIENCE = 900.0  # seconds for anything at all: a server takes 7 to come up, minutes on a busy machine


def wait_until(happened: Callable[[], object], what: str, pause: float = 0.2) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(pause)


def stop_group(process: subprocess.Popen) -> None:
    """Kill a process and what it started; it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)


class MlflowServer:
    """A server on a port of its own, not started yet. store: its database's address. environment: for its artifacts."""

    def __init__(self, folder: Path, store: str, artifacts: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self._store, self._artifacts = folder, store, artifacts
        self._environment = dict(environment or {})
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self._store,
                   "--artifacts-destination", self._artifacts, "--workers", "1",
                   "--host", "127.0.0.1", "--port", str(self.port)]  # fmt: skip
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
                       "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **self._environment}  # fmt: skip
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "server.txt").open("a") as output:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # fmt: skip

    def is_up(self) -> bool:
        assert self.process is not None and self.process.poll() is None, (self.folder / "server.txt").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def be_up(self) -> None:
        if self.process is None:
            self.start()
        wait_until(self.is_up, "the server to answer")

    def kill(self) -> None:
        if self.process is not None:
            stop_group(self.process)
        self.process = None


class Postgres:
    """Postgres on a port of its own, as the user `postgres` (it refuses to run as root). Not started yet."""

    def __init__(self) -> None:
        # Debian keeps the programs of each release apart, and out of PATH.
        places = [*Path("/usr/lib/postgresql").glob("*/bin"), Path(shutil.which("initdb") or "/").resolve().parent]
        programs = next((place for place in places if (place / "initdb").exists()), None)
        if programs is None:
            pytest.skip("needs Postgres: make postgres")
        self._programs, self.port = programs, free_port()
        # Not among pytest's folders, which are their owner's alone.
        self._data = Path(tempfile.mkdtemp(prefix="postgres"))
        if os.getuid() == 0:
            shutil.chown(self._data, "postgres")
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-E", "UTF8", "--no-sync")
        self.uri = f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -F -k {self._data}"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._data / "log"), "-o", options, "start")

    def stop(self) -> None:
        """At once, as when the machine fails: connections break."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self._data)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        who = "postgres" if os.getuid() == 0 else None
        subprocess.run(command, cwd="/", user=who, check=True, stdout=subprocess.DEVNULL, timeout=120)
