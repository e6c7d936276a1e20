"""What tests of the registry and of S3 start from: a store, students to be promoted, servers.

A store takes ten seconds to be made and the students a few: both are made once. S3 servers are each module's.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from promoted import REGISTRY, take
from s3_proxy import Proxy
from s3_servers import Ceph, Rclone, Server, serving, use
from tiny_students import SCORING, write_run, write_student

from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.params.gate import Gate

FIRST, BETTER, WORSE = 20, 40, 10  # steps that a student learns for


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A folder with an initialised store."""
    root = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(root)
    return root


@pytest.fixture
def root(empty_store, tmp_path, monkeypatch) -> Path:
    """A folder of its own with an empty store in it. The experiment's artifact folder stays the shared one."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """Three runs in one folder: `first`, `better` and `worse` hold artifacts, with one data set, judge and teacher."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first")
    for name, steps in (("better", BETTER), ("worse", WORSE)):
        shutil.copytree(folder / "first", folder / name)
        write_student(folder / name, steps)
    write_student(folder / "first", FIRST)
    return folder


@pytest.fixture
def registered(made, root) -> Gate:
    """Versions 1 and 2, the champion."""
    gate = take(made, "first", root)
    promote(root, REGISTRY, gate, SCORING)
    take(made, "better", root)
    promote(root, REGISTRY, gate, SCORING)
    return gate


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with serving("ceph", tmp_path_factory.mktemp("ceph") / "served") as server:
        assert isinstance(server, Ceph)
        yield server


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    with serving("rclone", tmp_path_factory.mktemp("rclone") / "served") as server:
        assert isinstance(server, Rclone)
        yield server


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """Puts a proxy before a server, which is from then on the one that is used, with changes as `use` has them."""
    made: list[Proxy] = []

    def proxy(server: Server, **changes: str) -> Proxy:
        made.append(Proxy(server))
        use(monkeypatch, made[-1], **changes)
        return made[-1]

    yield proxy
    for one in made:
        one.stop()


@pytest.fixture(params=["rclone", pytest.param("ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)
