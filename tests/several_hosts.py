"""Several hosts on loopback: the environment of each, one that follows, and a stage that trains nothing."""

import os
import subprocess
import sys
from pathlib import Path

from free_ports import free_port

from understudy.errors import LOST

FOLLOW = [sys.executable, "-c", "import sys; from understudy.cli import main; sys.exit(main())", "follow"]


class Hosts:
    """`count` hosts that differ in NODE_RANK alone. environment: of all, beside the tests' own."""

    def __init__(self, count: int, **environment: str) -> None:
        self.shared = {
            **os.environ, "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0", "NNODES": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **environment,
        }  # fmt: skip

    def environment(self, index: int) -> dict[str, str]:
        return {**self.shared, "NODE_RANK": str(index)}

    def follower(self, index: int, folder: Path, *options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([*FOLLOW, *options], cwd=folder, env=self.environment(index), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip


def children(process: int) -> list[int]:
    """The processes that it started, in order."""
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


# Every process of it notes who it is, and then the one whose number stands in sys.argv[3] does what sys.argv[2] says.
STAGE = f"""
import os, signal, sys, time
from pathlib import Path
from understudy import hosts, processes
from understudy.errors import UserError
from understudy.orphans import end_with_parent

processes.GRACE, hosts.MUSTER = 1.0, 3.0
folder, count, ending, who = Path("notes"), int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if processes.starter() is None:
    try:
        code = processes.start(count, "fake", folder)
    except UserError as error:
        print(error, file=sys.stderr)
        code = error.code
    sys.exit(code)
end_with_parent(processes.starter())
mine, broken = processes.rank(), folder / "broken"
known = f"{{processes.size()}} {{processes.local_rank()}} {{processes.local_size()}} {{os.environ['MASTER_PORT']}}"


def end(code):
    broken.touch()  # as a connection between them would be
    sys.exit(code)


signal.signal(signal.SIGTERM, lambda *_: end(75))
(folder / f"here-{{mine}}").write_text(known)
while len(list(folder.glob("here-*"))) < processes.size():
    time.sleep(0.02)
if ending in ("fails", "fails unheard") and mine == who:
    print("no room", file=sys.stderr)
    sys.exit(2) if ending == "fails unheard" else end(2)
if ending == "is killed" and mine == who:
    broken.touch()
    os.kill(os.getpid(), signal.SIGKILL)
if ending == "alone lost":
    broken.touch()
while ending != "well":
    if broken.exists() and ending != "deaf":
        sys.exit({LOST})
    time.sleep(0.02)
"""


def write_stage(folder: Path) -> None:
    """Make `folder` one in which `python -m stages.fake COUNT ENDING WHO` runs."""
    (folder / "stages").mkdir()
    (folder / "stages/__init__.py").touch()
    (folder / "stages/fake.py").write_text(STAGE)
    (folder / "notes").mkdir()
