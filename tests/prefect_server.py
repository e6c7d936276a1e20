"""A real Prefect server for tests: SQLite, loopback, its own home. The fixture `prefect_server` is in conftest.py."""

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from free_ports import free_port
from mlflow_server import stop_group, wait_until


class PrefectServer:
    """A server on a port of its own, not started yet. folder: its PREFECT_HOME, and server.txt with what it prints."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self._process: subprocess.Popen | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For a child process: this one's environment, of Prefect's variables those alone that lead to this server."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return others | {
            "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(self.folder),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_CLI_PROMPT": "false",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        environment = self.environment
        del environment["PREFECT_API_URL"]  # of itself it would read as another server's
        with (self.folder / "server.txt").open("a") as output:
            self._process = subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True,
                                             stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # fmt: skip

    def be_up(self) -> None:
        if self._process is None:
            self.start()
        wait_until(self._answers, "Prefect's server to answer")

    def kill(self) -> None:
        """At once, with everything it started; `be_up` starts it again, on the same port and database."""
        if self._process is not None:
            stop_group(self._process)
        self._process = None

    def prefect(self, *arguments: str, folder: Path | None = None, **environment: str) -> str:
        """What `prefect ARGUMENTS` prints, run in folder. AssertionError, with what it said, when it fails."""
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(command, cwd=folder or self.folder, env=self.environment | environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600)  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def client(self) -> Any:
        """A client to be used as a context manager (prefect.client.orchestration.SyncPrefectClient)."""
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(api=self.api)

    def state(self, run: UUID) -> Any:
        """The state of a flow run, now (prefect.client.schemas.objects.State)."""
        with self.client() as client:
            return client.read_flow_run(run).state

    def said(self, run: UUID) -> str:
        """The last lines of a flow run's log."""
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with self.client() as client:
            logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
        return "\n".join(log.message for log in logs[-30:])

    def wait_for(self, run: UUID, *names: str) -> Any:
        """The state of a flow run once its name is one of these. AssertionError when it ended as something else."""

        def reached() -> bool:
            state = self.state(run)
            if state.is_final() and state.name not in names:
                raise AssertionError(f"{state.name} is not {names}: {state.message}\n{self.said(run)}")
            return state.name in names

        wait_until(reached, f"the run to be {names}")
        return self.state(run)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "server.txt").read_text()
        try:
            with urllib.request.urlopen(f"{self.api}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextlib.contextmanager
def serving_prefect(folder: Path) -> Iterator[PrefectServer]:
    """A server that runs within the block."""
    server = PrefectServer(folder)
    try:
        server.be_up()
        yield server
    finally:
        server.kill()
