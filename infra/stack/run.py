"""Everything that the pipeline talks to, on one machine without a cluster: `make stack`.

    python infra/stack/run.py [--folder .understudy/stack] [--port 4200]

Postgres, S3 (rclone's, on a folder), MLflow's server and Prefect's, as plain processes on the loopback address: Prefect at
the port, MLflow, S3 and Postgres at the three after it. What they keep, and their passwords, is in the folder: the same is
there the next time. Prints what to export; Ctrl-C ends all of them, and so does the end of any one.
"""

import argparse
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from understudy.errors import BAD_INPUT, UserError
from understudy.files import read_json, write_json

PATIENCE = 180.0  # seconds for a server to answer: 10 on a machine that is free
GRACE = 30.0  # seconds for a server to end
BUCKETS = ("data", "runs", "models", "mlflow")  # as in infra/s3
QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


class Stack:
    """The four servers. folder: what they keep. port: the first of four in a row."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder.resolve(), port
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        keys = self.folder / "keys.json"
        if not keys.exists():
            write_json(keys, {name: secrets.token_hex(16) for name in ("postgres", "s3_id", "s3_secret")})
            keys.chmod(0o600)
        self.keys: dict[str, str] = read_json(keys)
        self.prefect, self.mlflow, self.s3 = (f"http://127.0.0.1:{port + step}" for step in range(3))

    @property
    def exports(self) -> dict[str, str]:
        """What the pipeline needs to know, by the names that it also has in the cluster."""
        return {
            "PREFECT_API_URL": f"{self.prefect}/api",
            "MLFLOW_TRACKING_URI": self.mlflow,
            "AWS_ENDPOINT_URL": self.s3,
            "AWS_ACCESS_KEY_ID": self.keys["s3_id"],
            "AWS_SECRET_ACCESS_KEY": self.keys["s3_secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """All four, each once those that it needs answer. Raises UserError when one cannot be had."""
        for step in range(4):
            if not _free(self.port + step):
                raise UserError(f"port {self.port + step} is taken; name the first of four free ones with --port")
        postgres = self._postgres()
        s3 = self.folder / "s3"
        for bucket in BUCKETS:
            (s3 / f"understudy-{bucket}").mkdir(parents=True, exist_ok=True)
        rclone = [_program("rclone"), "serve", "s3", "--config", os.devnull, "--addr", self.s3.removeprefix("http://")]
        pair = f"{self.keys['s3_id']},{self.keys['s3_secret']}"
        self._start("s3", [*rclone, str(s3)], {"RCLONE_AUTH_KEY": f'"{pair}"'})  # a list, in quotes as in CSV
        self._wait("s3", lambda: _answers(self.s3))
        self._start(
            "mlflow",
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port + 1),
             "--workers", "1", "--artifacts-destination", "s3://understudy-mlflow"],
            {"MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://{postgres}/mlflow", **self._aws},
        )  # fmt: skip
        self._start(
            "prefect",
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
            {
                "PREFECT_HOME": str(self.folder / "prefect"),
                "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.folder / "prefect/ui"),
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{postgres}/prefect",
                "PREFECT_UI_API_URL": f"{self.prefect}/api",
            },
        )
        self._wait("mlflow", lambda: _answers(f"{self.mlflow}/health"))
        self._wait("prefect", lambda: _answers(f"{self.prefect}/api/ready"))

    def stop(self) -> None:
        """The last started first; Postgres is told to disconnect its clients, the rest to end."""
        for name, process in reversed(self.running.items()):
            _signal(process, signal.SIGINT if name == "postgres" else signal.SIGTERM)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
            _signal(process, signal.SIGKILL)  # what it left behind in its group
        self.running.clear()

    def ended(self) -> str | None:
        """The first server that is no longer there."""
        return next((name for name, process in self.running.items() if process.poll() is not None), None)

    @property
    def _aws(self) -> dict[str, str]:
        return {name: value for name, value in self.exports.items() if name.startswith("AWS_")}

    def _postgres(self) -> str:
        """Start it with two empty databases, or those of the last time. USER:PASSWORD@HOST:PORT."""
        data, log = self.folder / "postgres", self.folder / "postgres.txt"
        # It refuses to run as root; as a user of its own it must be able to come to its data.
        user = "postgres" if os.getuid() == 0 else None
        if not (data / "PG_VERSION").exists():
            shutil.rmtree(data, ignore_errors=True)
            data.mkdir(mode=0o700)
            password = self.folder / ".password"
            password.write_text(self.keys["postgres"] + "\n")
            if user:
                shutil.chown(data, user)
                shutil.chown(password, user)
            command = [_postgres_program("initdb"), "--pgdata", str(data), "--username", "understudy", "--encoding", "UTF8",
                       "--auth", "scram-sha-256", "--pwfile", str(password)]  # fmt: skip
            with log.open("ab") as output:
                made = subprocess.run(command, user=user, stdout=output, stderr=output, cwd="/")
            password.unlink()
            if made.returncode:
                shutil.rmtree(data, ignore_errors=True)
                raise UserError(f"{data}: Postgres cannot keep its data there; the end of {log} says why")
        port = self.port + 3
        self._start("postgres", [_postgres_program("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port),
                                 "-c", "unix_socket_directories="], {}, user)  # fmt: skip
        self._wait("postgres", self._databases)
        return f"understudy:{self.keys['postgres']}@127.0.0.1:{port}"

    def _databases(self) -> bool:
        import psycopg2

        try:
            connection = psycopg2.connect(host="127.0.0.1", port=self.port + 3, user="understudy", dbname="postgres",
                                          password=self.keys["postgres"])  # fmt: skip
        except psycopg2.OperationalError:
            return False
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            for name in ("mlflow", "prefect"):
                with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
                    cursor.execute(f"CREATE DATABASE {name}")
        return True

    def _start(self, name: str, command: list[str], environment: dict[str, str], user: str | None = None) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_", "AWS_"))}
        with (self.folder / f"{name}.txt").open("ab") as output:
            # In a session of its own: Ctrl-C reaches this process alone, which ends them in order.
            self.running[name] = subprocess.Popen(
                command, env={**inherited, **QUIET, **environment}, user=user, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def _wait(self, name: str, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not answers():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                raise UserError(f"{name} does not start; the end of {self.folder / name}.txt says why")
            time.sleep(0.2)


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """To it and what it started; nothing when none of them is left."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGINT:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)


def _answers(address: str) -> bool:
    """Whether a server is there: to be refused is an answer too."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        raise UserError(f"{name} is not installed: make setup")
    return path


def _postgres_program(name: str) -> str:
    # Debian keeps the programs of each release apart, and out of PATH.
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))
    if path is None:
        raise UserError(f"{name} is not installed: make postgres")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stack", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(".understudy/stack"), help="what the servers keep")
    parser.add_argument("--port", type=int, default=4200, help="the first of four ports in a row (default: 4200)")
    arguments = parser.parse_args(argv)

    def end(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    stack = None
    try:
        stack = Stack(arguments.folder, arguments.port)
        stack.start()
        for name, value in stack.exports.items():
            print(f"export {name}={shlex.quote(value)}")
        print(f"# Prefect {stack.prefect}, MLflow {stack.mlflow}; logs in {stack.folder}; Ctrl-C ends all", flush=True)
        while (ended := stack.ended()) is None:
            time.sleep(0.5)
        raise UserError(f"{ended} has ended; the end of {stack.folder / ended}.txt says why")
    except KeyboardInterrupt:
        return 0
    except UserError as error:
        print(f"stack: {error}", file=sys.stderr)
        return BAD_INPUT
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # one who is in a hurry would leave half of it
        if stack is not None:
            stack.stop()


if __name__ == "__main__":
    sys.exit(main())
