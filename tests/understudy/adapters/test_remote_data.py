"""DVC's remote on a real S3 server: keys that are refused, a server that is away, and what a stage needs."""

import os
import shutil
from pathlib import Path

import pytest
import s3_servers
from own_repository import commit, done
from s3_servers import BUCKET, Rclone

from understudy.adapters import patience, remote_data
from understudy.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GRAPH = """stages:
  prepare:
    cmd: echo data > data.txt && echo other > other.txt
    deps: ["${prepare.source}"]
    outs: [data.txt, other.txt]
  teacher:
    cmd: cp data.txt weights.txt && echo trained >> trainings.txt
    deps: [data.txt]
    outs: [weights.txt]
"""


class Place:
    """A project of two stages whose DVC remote is on S3, and a server. said: what was told meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.root, self.said = folder / "work", list[str]()
        self.server = Rclone(folder / "s3")
        (self.root / ".dvc").mkdir(parents=True)
        (self.root / "dvc.yaml").write_text(GRAPH)
        (self.root / "params.yaml").write_text("prepare: {source: set.zip}\n")
        (self.root / "set.zip").write_text("images")
        (self.root / ".dvc/config").write_text(
            "[core]\nanalytics = false\ncheck_update = false\nremote = store\n"
            f"['remote \"store\"']\nurl = s3://{BUCKET}/dvc\n"
        )
        done(self.root, "git", "init", "-q")
        done(self.root, "dvc", "add", "-q", "set.zip")
        commit(self.root, "start")

    def reproduce(self, stage: str) -> None:
        remote_data.reproduce(self.root, stage, self.said.append, lambda: False)

    def pull(self, stage: str) -> None:
        remote_data.pull(self.root, stage, self.said.append)

    def push(self, stage: str) -> None:
        remote_data.push(self.root, stage, self.said.append)

    def forget(self) -> None:
        """As a fresh clone is: nothing that DVC stores."""
        for name in ("data.txt", "other.txt", "weights.txt", "set.zip"):
            (self.root / name).unlink(missing_ok=True)
        shutil.rmtree(self.root / ".dvc/cache", ignore_errors=True)


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = Place(tmp_path)
    s3_servers.use(monkeypatch, place.server, HOME=str(tmp_path), AWS_MAX_ATTEMPTS="1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    try:
        yield place
    finally:
        place.server.stop()


def test_a_stage_gets_what_it_needs_and_no_more_and_what_was_made_once_is_not_made_again(place):
    place.server.start()
    done(place.root, "dvc", "push", "-q", "set.zip.dvc")
    place.reproduce("prepare")
    place.push("prepare")
    place.pull("teacher")
    assert not [line for line in place.said if "dvc pull" in line]  # what was made here need not be fetched
    place.reproduce("teacher")
    place.push("teacher")
    (place.root / "dvc.lock").rename(place.root / "kept.lock")

    place.forget()
    place.pull("prepare")
    assert (place.root / "set.zip").read_text() == "images" and not (place.root / "data.txt").exists()
    place.reproduce("prepare")  # from the run cache: nothing says here that it has ever run
    assert any("Stage 'prepare' is cached" in line for line in place.said)
    place.forget()
    place.pull("teacher")
    assert (place.root / "data.txt").exists() and not (place.root / "other.txt").exists()
    place.reproduce("teacher")
    assert (place.root / "trainings.txt").read_text() == "trained\n"  # once
    assert (place.root / "weights.txt").read_text() == "data\n"
    assert (place.root / "dvc.lock").read_text() == (place.root / "kept.lock").read_text()


def test_wrong_keys_are_one_clear_error_and_are_not_tried_again(place, monkeypatch, capsys):
    place.server.start()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UserError, match=rf"DVC's remote s3://{BUCKET}/dvc: the credentials are refused \(Signature"):
        remote_data.check(place.root)
    with pytest.raises(UserError, match=r"`dvc push`: DVC's remote refuses \((403|request signature)"):
        place.push("set.zip.dvc")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(UserError, match=r"the credentials are refused \(InvalidAccessKeyId"):
        remote_data.check(place.root)
    assert "again in" not in capsys.readouterr().out and place.said == []


def test_a_server_that_is_away_is_waited_for(place):
    place.server.start()
    done(place.root, "dvc", "push", "-q", "set.zip.dvc")
    place.forget()
    place.server.stop()

    def hear(line: str) -> None:
        place.said.append(line)
        if "again in" in line:
            place.server.start()

    remote_data.pull(place.root, "prepare", hear)
    assert (place.root / "set.zip").read_text() == "images"
    first, *others = place.said
    assert "again in 2 s" in first and not [line for line in others if "again in" in line]


def test_one_that_stays_away_is_given_up(place, monkeypatch):
    monkeypatch.setattr(patience, "DELAYS", (0.1,))
    place.server.start()
    place.server.stop()
    place.forget()
    with pytest.raises(UserError, match="cannot be reached"):
        remote_data.check(place.root)
    with pytest.raises(UserError, match="`dvc pull`: failed to connect to s3"):
        place.pull("prepare")
    assert os.environ["AWS_MAX_ATTEMPTS"] == "1" and len(place.said) == 1
