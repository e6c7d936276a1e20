"""The stage, its source on S3: from a plain command and through DVC, which sees what changes there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from paired_set import files, prepared, write_set, zipped
from s3_servers import BUCKET, Rclone, Server, serving

from understudy import locks
from understudy.data.remote import local_copy
from understudy.errors import UserError

ARTIFACTS = ("train.zip", "val.zip", "test.zip", "manifest.csv", "samples.png")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("s3")
    with serving("rclone", folder / "served") as server:
        streets = write_set(folder / "streets")
        server.put({f"sets/streets/{path}": content for path, content in files(streets).items()})
        server.put({"sets/streets.zip": zipped(streets, folder / "streets.zip").read_bytes()})
        yield server


def environment(server: Server, home: Path) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return mine | server.environment | {"DVC_NO_ANALYTICS": "true", "HOME": str(home)}


def write_params(root: Path, source: str) -> None:
    root.mkdir(exist_ok=True)
    prepare = {
        "source": source,
        "kind": "labels",
        "direction": None,
        "instances": False,
        "size": [24, 32],
        "load_size": None,
    }
    (root / "params.yaml").write_text(yaml.safe_dump({"prepare": prepare}))


def stage(server: Server, root: Path, source: str, *options: str) -> subprocess.CompletedProcess:
    write_params(root, source)
    command = [sys.executable, "-m", "stages.prepare", "--root", str(root), *options]
    return subprocess.run(command, env=environment(server, root), capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["sets/streets", "sets/streets.zip"])
def test_from_s3_come_the_same_bytes_as_from_here(server: Server, tmp_path: Path, key: str) -> None:
    prepared(write_set(tmp_path / "streets"), tmp_path / "here", size=(24, 32))
    source, root = f"s3://{BUCKET}/{key}", tmp_path / "root"
    planned = stage(server, root, source, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "pairs: 2 train, 2 val, 2 test" in planned.stdout and not (root / "artifacts").exists()
    done = stage(server, root, source)
    assert done.returncode == 0 and "all here and unchanged" in done.stderr
    for name in ARTIFACTS:
        made = (root / "artifacts" / "prepare" / name).read_bytes()
        assert made == (tmp_path / "here" / name).read_bytes(), name


def test_the_reason_comes_through_with_its_code_and_nothing_is_made(server: Server, tmp_path: Path) -> None:
    done = stage(server, tmp_path / "root", f"s3://{BUCKET}/nowhere")
    status = json.loads((tmp_path / "root" / ".understudy" / "status" / "prepare.json").read_text())
    reason = f"prepare.source: s3://{BUCKET}/nowhere: no such object, and none below it"
    assert (done.returncode, status["code"], status["reason"]) == (2, 2, reason)
    assert "Traceback" not in done.stderr and not (tmp_path / "root" / "artifacts").exists()


def test_a_path_is_left_alone_and_an_unknown_address_refused(tmp_path: Path) -> None:
    assert local_copy("data/streets.zip", tmp_path) == Path("data/streets.zip")
    with pytest.raises(UserError, match=r"x\.zip: a path, or an address that begins with s3://"):
        local_copy("https://example.org/x.zip", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_fetches_ends_with_the_stage(server: Server, tmp_path: Path, number: int) -> None:
    assert isinstance(server, Rclone)
    server.stop()
    server.start("--bwlimit", "2M")
    server.put({"sets/slow.zip": bytes(16 * 10**6)})
    write_params(tmp_path, f"s3://{BUCKET}/sets/slow.zip")
    command = [sys.executable, "-m", "stages.prepare", "--root", str(tmp_path)]
    with subprocess.Popen(command, env=environment(server, tmp_path)) as process:
        until(lambda: any(part.stat().st_size for part in tmp_path.glob(".understudy/prepare/s3/*/parts/*")))
        lock = next(tmp_path.glob(".understudy/prepare/s3/*/lock"))
        assert locks.holder(lock) not in (None, process.pid)
        process.send_signal(number)
    until(lambda: locks.holder(lock) is None)
    assert not list(tmp_path.glob(".understudy/prepare/s3/*/copy/*"))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_dvc_runs_the_stage_again_only_when_the_source_has_changed(server: Server, tmp_path: Path, repo: Path) -> None:
    root = tmp_path / "root"
    for folder in ("stages", "understudy"):
        shutil.copytree(repo / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_params(root, f"s3://{BUCKET}/changing")
    graph = yaml.safe_load((repo / "dvc.yaml").read_text())
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"prepare": graph["stages"]["prepare"]}}))
    streets = files(write_set(tmp_path / "streets"))
    server.put({f"changing/{path}": content for path, content in streets.items()})

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = environment(server, tmp_path) | {"PATH": path}

    def dvc(*command: str) -> str:
        words = [sys.executable, "-m", "dvc", *command]
        done = subprocess.run(words, cwd=root, env=env, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    dvc("init", "--no-scm", "--quiet")
    assert "13 of 13 objects to fetch" in dvc("repro")
    assert "Data and pipelines are up to date" in dvc("repro")
    server.put({"changing/classes.json": streets["classes.json"].replace(b"CC0-1.0", b"CC-BY-4.0")})
    assert f"s3://{BUCKET}/changing" in dvc("status")
    assert "1 of 13 objects to fetch" in dvc("repro")
    assert json.loads((root / "artifacts" / "prepare" / "dataset.json").read_text())["licence"] == "CC-BY-4.0"
