"""Git's own server on loopback: every repository below a folder, to read and to push to."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from free_ports import free_port
from mlflow_server import stop_group, wait_until


@contextlib.contextmanager
def serving_git(folder: Path) -> Iterator[str]:
    """The address of the folder's bare repositories within the block."""
    port = free_port()
    command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}",
               "--export-all", "--enable=receive-pack", str(folder)]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)  # fmt: skip
    address = f"git://127.0.0.1:{port}"

    def answers() -> bool:
        asked = subprocess.run(["git", "ls-remote", f"{address}/origin.git"], capture_output=True, timeout=20)
        return asked.returncode == 0

    try:
        wait_until(answers, "git's server to answer")
        yield address
    finally:
        stop_group(process)
