"""Starting several processes and watching them, as real processes that do what they are told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from understudy import processes
from understudy.errors import LOST

SCRIPT = f"""
import os, signal, sys, time
from pathlib import Path
from understudy import processes
from understudy.errors import UserError

processes.GRACE = 0.5
folder, ending = Path(sys.argv[1]), sys.argv[2]
if processes.starter() is None:
    try:
        code = processes.start(2, "script", folder)
    except UserError as error:
        print(error, file=sys.stderr)
        code = error.code
    sys.exit(code)
first = processes.rank() == 0
(folder / f"here-{{processes.rank()}}").write_text(f"{{processes.size()}} {{os.environ['MASTER_PORT']}}")
if ending == "first fails":
    sys.exit("mine" if not first else 4)
if ending == "second says why" and not first:
    print("no room", file=sys.stderr)
    sys.exit(2)
if ending == "second says why":
    sys.exit({LOST})
if ending == "both say so":
    sys.exit(2)
if ending == "second is killed" and not first:
    os.kill(os.getpid(), signal.SIGKILL)
if ending == "stopped":
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(75)))
    (folder / f"ready-{{processes.rank()}}").touch()
if ending in ("second is killed", "stopped"):
    time.sleep(30)
print("first done" if first else "not to be seen")
"""


@pytest.fixture
def command(tmp_path, repo) -> list[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return [sys.executable, str(script), str(tmp_path)]


def ended(command: list[str], ending: str, repo: Path) -> subprocess.CompletedProcess[str]:
    place = {**os.environ, "PYTHONPATH": str(repo)}
    return subprocess.run([*command, ending], env=place, capture_output=True, text=True, timeout=60)


def test_all_know_who_they_are_and_the_first_one_speaks(command, tmp_path, repo):
    done = ended(command, "well", repo)
    assert (done.returncode, done.stdout) == (0, "first done\n"), done.stderr
    told = {(tmp_path / f"here-{index}").read_text() for index in range(2)}
    assert len(told) == 1 and told.pop().startswith("2 ")


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        ("first fails", 4, ""),  # it has said so itself
        ("both say so", 2, ""),
        ("second says why", 2, "process 2 of 2: no room"),
        ("second is killed", 1, "process 2 of 2 was killed by SIGKILL; run it again to go on"),
    ],
)
def test_the_one_that_failed_is_to_blame(ending, code, message, command, repo):
    done = ended(command, ending, repo)
    assert done.returncode == code
    assert done.stderr.strip().startswith(message) and (message or not done.stderr)


def test_a_stopped_one_has_time_to_save(command, tmp_path, repo):
    running = subprocess.Popen([*command, "stopped"], env={**os.environ, "PYTHONPATH": str(repo)})
    deadline = time.monotonic() + 30
    while not all((tmp_path / f"ready-{index}").exists() for index in range(2)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 75


def test_torchrun_says_who_is_who_on_several_hosts(monkeypatch):
    told = {"LOCAL_WORLD_SIZE": 2, "WORLD_SIZE": 4, "LOCAL_RANK": 0, "RANK": 2}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    assert (processes.size(), processes.local_size(), processes.rank(), processes.local_rank()) == (4, 2, 2, 0)
    assert not processes.leads()
    monkeypatch.delenv("LOCAL_WORLD_SIZE")  # meant for a torchrun that is still to be started
    assert (processes.size(), processes.rank()) == (1, 0) and processes.leads()
