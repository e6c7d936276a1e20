"""One stage on several hosts: who comes, who is told what, and that one end is the end of all. Real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from several_hosts import Hosts, children, write_stage

from understudy import hosts
from understudy.errors import UserError


@pytest.fixture
def folder(tmp_path) -> Path:
    write_stage(tmp_path)
    return tmp_path


@pytest.fixture
def two(repo) -> Hosts:
    return Hosts(2, PYTHONPATH=str(repo))


@pytest.fixture
def follower(two, folder) -> "Iterator[subprocess.Popen[str]]":
    """The second host; it is there before the first one calls."""
    running = two.follower(1, folder)
    yield running
    running.kill()
    running.communicate()


def leader(two: Hosts, folder: Path, count: int, ending: str, who: int = 0) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "stages.fake", str(count), ending, str(who)]
    return subprocess.Popen(command, cwd=folder, env=two.environment(0), stderr=subprocess.PIPE, text=True)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_know_who_they_are_and_one_follower_answers_call_after_call(two, folder, follower):
    for count in (2, 1):
        for path in folder.glob("notes/*"):
            path.unlink()
        running = leader(two, folder, count, "well")
        assert running.wait(240) == 0, running.stderr.read()
        told = {path.name: path.read_text().split() for path in folder.glob("notes/here-*")}
        assert sorted(told) == [f"here-{number}" for number in range(2 * count)]
        assert [told[f"here-{number}"][:3] for number in range(2 * count)] == [
            [str(2 * count), str(number % count), str(count)] for number in range(2 * count)
        ]
        assert len({of[3] for of in told.values()}) == 1
    follower.send_signal(signal.SIGTERM)
    assert follower.wait(240) == 75
    assert follower.stdout.read().splitlines() == [
        "fake: running processes 3 to 4 of 4", "fake: they have ended",
        "fake: running processes 2 to 2 of 2", "fake: they have ended",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "who", "code", "message"),
    [
        ("fails", 0, 2, "no room"),  # said by the first one itself
        ("fails", 1, 2, "process 2 of 4: no room"),
        ("fails", 3, 2, "the host with NODE_RANK 1: process 4 of 4: no room"),
        ("is killed", 0, 1, "process 1 of 4 was killed by SIGKILL; run it again to go on"),
        ("is killed", 2, 1, "the host with NODE_RANK 1: process 3 of 4 was killed by SIGKILL; run it again to go on"),
        ("alone lost", 0, 75, "the hosts lost each other; run it again to go on"),
    ],
)
def test_the_one_that_failed_is_to_blame_on_any_host(ending, who, code, message, two, folder, follower):
    running = leader(two, folder, 2, ending, who)
    _, complaint = running.communicate(timeout=240)
    assert running.returncode == code and complaint.startswith(message), complaint
    assert len(complaint.splitlines()) == 1
    wait_for(lambda: not children(follower.pid))
    assert follower.poll() is None  # ready for the next call


@pytest.mark.slow
@pytest.mark.parametrize("who", [0, 1])
def test_those_that_cannot_notice_are_told(who, two, folder, follower):
    """As when one fails before they have met."""
    running = leader(two, folder, 1, "fails unheard", who)
    _, complaint = running.communicate(timeout=50)  # less than the first one would wait for what the other says
    assert running.returncode == 2 and complaint.strip().endswith("no room")
    wait_for(lambda: not children(follower.pid))


@pytest.mark.parametrize("signalled", ["leader", "follower"])
def test_a_signal_to_one_host_ends_all_as_stopped(signalled, two, folder, follower):
    running = leader(two, folder, 2, "waits")
    wait_for(lambda: len(list(folder.glob("notes/here-*"))) == 4)
    (running if signalled == "leader" else follower).send_signal(signal.SIGTERM)
    assert running.wait(240) == 75
    if signalled == "follower":
        assert follower.wait(240) == 75
    else:
        wait_for(lambda: not children(follower.pid))


@pytest.mark.parametrize("killed", ["leader", "follower"])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_host_that_is_gone_is_noticed(killed, two, folder, follower):
    running = leader(two, folder, 2, "deaf" if killed == "follower" else "waits")  # as in the middle of a validation
    wait_for(lambda: len(list(folder.glob("notes/here-*"))) == 4)
    mates = children(running.pid) + children(follower.pid)
    if killed == "leader":
        running.kill()
    else:
        os.killpg(follower.pid, signal.SIGKILL)
    _, complaint = running.communicate(timeout=240)
    if killed == "follower":
        assert running.returncode == 75
        assert complaint.startswith("the host with NODE_RANK 1 is gone; run it again to go on from"), complaint
    wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in mates))
    assert (follower.poll() is None) == (killed == "leader")


def test_hosts_that_do_not_come_are_named(two, folder):
    running = leader(two, folder, 1, "well")
    _, complaint = running.communicate(timeout=240)
    assert running.returncode == 2
    assert "of 2 hosts (NNODES) those with NODE_RANK 1 did not come to port" in complaint


def test_another_number_of_hosts_is_refused(two, folder, repo):
    running = leader(two, folder, 1, "well")
    many = Hosts(3, PYTHONPATH=str(repo), MASTER_PORT=two.shared["MASTER_PORT"]).follower(2, folder)
    try:
        _, complaint = running.communicate(timeout=240)
        assert running.returncode == 2 and "NNODES: 2 here, and 3 on a host that follows" in complaint
    finally:
        many.kill()
        many.communicate()


def test_what_the_follower_lacks_is_named(two, folder, follower):
    """As when the folder is on a disk of the first host's own."""
    (folder / "stages/fake.py").rename(folder / "stages/first.py")
    command = [sys.executable, "-m", "stages.first", "1", "waits", "0"]
    running = subprocess.Popen(command, cwd=folder, env=two.environment(0), stderr=subprocess.PIPE, text=True)
    _, complaint = running.communicate(timeout=240)
    assert running.returncode == 2
    assert complaint.startswith(f"the host with NODE_RANK 1: {folder}/stages/fake.py: missing; every host needs")


def test_a_follower_that_nobody_calls_ends(two, folder):
    alone = two.follower(1, folder, "--wait", "0.01")
    _, complaint = alone.communicate(timeout=240)
    assert alone.returncode == 2
    assert complaint.startswith("understudy follow: 127.0.0.1, port ") and "no call in 0.01 minutes" in complaint


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NNODES": "0"}, "NNODES: 0: must be positive"),
        ({"NNODES": "1:4"}, "NNODES: 1:4: with several hosts it must be a whole number"),
        ({"NNODES": "2"}, "NODE_RANK: missing"),
        ({"NNODES": "2", "NODE_RANK": "2"}, "NODE_RANK: 2: 2 hosts"),
        ({"NNODES": "2", "NODE_RANK": "1"}, "MASTER_ADDR: missing"),
        ({"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "x"}, "MASTER_PORT: x: "),
    ],
)
def test_an_environment_that_makes_no_sense_is_named(variables, message, monkeypatch):
    for name in ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"^{message}"):
        hosts.place()


def test_without_the_variables_there_is_one_host(monkeypatch):
    monkeypatch.delenv("NNODES", raising=False)
    assert (hosts.place().index, hosts.place().count) == (0, 1)
