"""Several hosts on loopback: the environment of each, and one that follows."""

import os
import socket
import subprocess
import sys
from pathlib import Path

FOLLOW = [sys.executable, "-c", "import sys; from understudy.cli import main; sys.exit(main())", "follow"]


class Hosts:
    """`count` hosts that differ in NODE_RANK alone. environment: of all, beside the tests' own."""

    def __init__(self, count: int, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.shared = {
            **os.environ, "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0", "NNODES": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **environment,
        }  # fmt: skip

    def environment(self, index: int) -> dict[str, str]:
        return {**self.shared, "NODE_RANK": str(index)}

    def follower(self, index: int, folder: Path, *options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([*FOLLOW, *options], cwd=folder, env=self.environment(index), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip


def children(process: int) -> list[int]:
    """The processes that it started, in order."""
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
