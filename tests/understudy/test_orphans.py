"""A stage whose parent dies, and one whose output nobody reads."""

import os
import signal
import subprocess
import sys
import time

import pytest

from understudy.orphans import Unread

# A parent that starts a child, tells its id and waits to be killed; the child says how it ended in a file.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
print(child.pid, flush=True)
time.sleep(60)
"""
# The same with a shell in between; `; true` keeps any shell from handing its process over.
SHELL_BETWEEN = """
import shlex, subprocess, sys, time
quoted = shlex.join([sys.executable, "-c", *sys.argv[1:]])
child = subprocess.Popen(["sh", "-c", quoted + "; true"])
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
import signal, sys, time
from pathlib import Path
from understudy.orphans import end_with_parent
def ended(number, frame):
    Path(sys.argv[1] + "/half").write_text(signal.Signals(number).name)
    Path(sys.argv[1] + "/half").rename(sys.argv[1] + "/ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, ended)
end_with_parent()
Path(sys.argv[1] + "/ready").touch()
time.sleep(60)
"""


def appears(path) -> bool:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone signals a parent's death")
def test_a_parent_s_death_is_a_sigterm(tmp_path, repo):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(tmp_path)], cwd=repo, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert appears(tmp_path / "ready")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert appears(tmp_path / "ended") and (tmp_path / "ended").read_text() == "SIGTERM"
    finally:
        if not (tmp_path / "ended").exists():
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone signals a parent's death")
def test_a_parent_that_died_before_it_was_asked_is_noticed(tmp_path, repo):
    late = CHILD.replace("\nend_with_parent()", "\ntime.sleep(1)\nend_with_parent()")
    # A group of its own, as `dvc repro` has when a shell starts it: what adopts the child belongs to another.
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, late, str(tmp_path)], cwd=repo, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None and parent.stdout.readline()
    parent.kill()
    parent.wait()
    assert appears(tmp_path / "ended") and (tmp_path / "ended").read_text() == "SIGTERM"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone signals a parent's death")
def test_a_shell_in_between_does_not_hide_the_death(tmp_path, repo):
    parent = subprocess.Popen(
        [sys.executable, "-c", SHELL_BETWEEN, CHILD, str(tmp_path)],
        cwd=repo,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None and parent.stdout.readline()
    assert appears(tmp_path / "ready")
    parent.kill()
    parent.wait()
    assert appears(tmp_path / "ended") and (tmp_path / "ended").read_text() == "SIGTERM"


def test_output_that_nobody_reads_is_dropped():
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    unread = Unread(stream)
    assert unread.write("seen\n") == 5
    unread.flush()
    assert os.read(reading, 10) == b"seen\n"
    os.close(reading)
    print("not seen", file=unread, flush=True)
    print("x" * 100_000, file=unread, flush=True)
    assert not unread.isatty()  # all else is the stream's own
