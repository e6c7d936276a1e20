"""A real `understudy serve`, as a process on a port of its own, for benchmarks and tests."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
PATIENCE = 180.0  # seconds for a start: MLflow and torch take 10 to import, and much longer on a busy machine


class Server:
    """`understudy serve *arguments --port 0`, from its start to its answer. log: where its output goes."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log = log
        command = [sys.executable, "-c", "import sys; from understudy.cli import main; sys.exit(main())", "serve",
                   *arguments, "--port", "0"]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(REPO)}
        with log.open("w") as output:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output)  # fmt: skip
        try:
            self.port = self._await_port()
        except BaseException:  # a test's time-out too: nobody else knows this process
            self.kill()
            raise

    def _await_port(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            line = next((line for line in self.log.read_text().splitlines() if line.startswith("http://")), "")
            if line:
                port = int(line.rstrip("/").rpartition(":")[2])
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE).close()
                    return port
                except OSError:
                    pass
            time.sleep(0.1)
        raise AssertionError(f"waited {PATIENCE:.0f} s for the server: {self.log.read_text()}")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def megabytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE)
