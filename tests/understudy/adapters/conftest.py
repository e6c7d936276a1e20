"""An MLflow store for each test, from one that is made once, which takes ten seconds; S3 servers for each module."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3_proxy import Proxy
from s3_servers import Ceph, Rclone, Server, serving, use

from understudy.adapters.mlflow import connect


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
