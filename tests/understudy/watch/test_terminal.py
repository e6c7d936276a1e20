"""The verb itself: once into a pipe, and again and again at a real terminal (a pseudo one)."""

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from understudy.cli import main
from understudy.commands import watch
from understudy.errors import BAD_INPUT, OK
from understudy.locks import held
from understudy.train.log import Log

COMMAND = [sys.executable, "-c", "import sys; from understudy.cli import main; sys.exit(main())", "watch"]


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / ".understudy/teacher/abcdef/log.jsonl", 0)
    log.write("start", stage="teacher", steps=40, params={})
    return log


def step(log, number):
    log.write("step", step=number, losses={"recon": 0.5}, rate=3.0)


class Terminal:
    """A command at a pseudo terminal of 60 columns and 24 lines."""

    def __init__(self, command, environment):
        self.leader, follower = os.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        os.set_blocking(self.leader, False)
        names = ("NO_COLOR", "COLUMNS", "LINES")
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        self.process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=subprocess.PIPE,
                                        env={**inherited, "TERM": "xterm", **environment})  # fmt: skip
        os.close(follower)
        self.shown = ""

    def wait_for(self, text):
        """Until `text` appears in what was written since the last wait."""
        deadline, start = time.monotonic() + 30, len(self.shown)
        while text not in self.shown[start:]:
            assert time.monotonic() < deadline, f"{text!r} did not appear in {self.shown[start:]!r}"
            assert self.process.poll() is None, self.process.stderr.read()
            self.read()
            time.sleep(0.02)

    def read(self):
        with contextlib.suppress(OSError):  # nothing to read, or the other end is gone
            self.shown += os.read(self.leader, 65536).decode()

    def end(self, number):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        self.read()
        return self.process.returncode, errors


@pytest.fixture
def terminal(tmp_path):
    started = []

    def start(*arguments, **environment):
        started.append(Terminal([*COMMAND, "--root", str(tmp_path), *arguments], environment))
        return started[-1]

    yield start
    for terminal in started:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.communicate(timeout=20)
        os.close(terminal.leader)


def test_into_a_pipe_it_prints_one_plain_view(log, tmp_path, capsys):
    step(log, 10)
    for more in ([], ["--once"]):
        assert main(["watch", "--root", str(tmp_path), *more]) == OK
        shown = capsys.readouterr()
        assert "10 of 40 steps" in shown.out and "\x1b" not in shown.out + shown.err
        assert "gate      not started" in shown.out and "Ctrl-C" not in shown.out


def test_without_a_training_it_says_so(tmp_path, capsys):
    assert main(["watch", "--root", str(tmp_path)]) == BAD_INPUT
    assert capsys.readouterr().err.startswith("understudy watch: ")


def test_at_a_terminal_the_view_follows_the_log_until_ctrl_c(log, terminal):
    step(log, 10)
    view = terminal()
    view.wait_for("10 of 40 steps")
    assert view.shown.startswith(watch.ENTER) and watch.IDLE in view.shown and "\x1b[33mstopped\x1b[0m" in view.shown
    step(log, 20)
    view.wait_for("20 of 40 steps")
    Log(log.path, resumed_at=10)  # the file is replaced
    view.wait_for("10 of 40 steps")
    code, errors = view.end(signal.SIGINT)
    assert (code, errors) == (OK, b"")
    left = view.shown.partition(watch.LEAVE)[2]  # the last view stays
    assert "10 of 40 steps" in left and "Ctrl-C" not in left


def test_while_a_stage_runs_the_view_says_that_it_goes_on(log, terminal):
    with held(log.path.parents[1] / "lock", wait=0):
        view = terminal()
        view.wait_for(watch.FOOTER)
        assert "running" in view.shown and view.end(signal.SIGINT)[0] == OK


def test_a_signal_to_end_leaves_the_terminal_as_it_was(log, terminal):
    view = terminal()
    view.wait_for(watch.IDLE)
    assert view.end(signal.SIGTERM) == (128 + signal.SIGTERM, b"")
    assert view.shown.endswith(watch.LEAVE)


def test_colours_can_be_refused(log, terminal):
    view = terminal(NO_COLOR="1")
    view.wait_for("stopped")
    assert view.end(signal.SIGINT)[0] == OK
    assert not re.search(r"\x1b\[\d*m", view.shown)


def test_a_dumb_terminal_gets_one_plain_view(log, terminal):
    view = terminal(TERM="dumb")
    assert view.process.wait(timeout=20) == OK
    view.read()
    assert "stopped" in view.shown and "\x1b" not in view.shown


def test_a_window_too_low_shows_the_top(capsys, monkeypatch):
    monkeypatch.setattr(watch.shutil, "get_terminal_size", lambda: os.terminal_size((60, 4)))
    watch._draw(["one", "two", "three", "four"], watch.FOOTER)
    shown = capsys.readouterr().out
    assert "two" in shown and "three" not in shown and shown.count("\n") == 2 and watch.FOOTER in shown
