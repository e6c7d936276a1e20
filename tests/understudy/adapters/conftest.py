"""An MLflow store for each test, from one that is made once: making the database takes ten seconds."""

import shutil
from pathlib import Path

import pytest

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
