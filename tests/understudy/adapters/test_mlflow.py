import subprocess
import sys
from pathlib import Path

import pytest

from understudy.adapters.mlflow import connect

REPO = Path(__file__).parents[3]
CONNECT = """
import sys
from pathlib import Path
from understudy.adapters.mlflow import connect
print(connect(Path(sys.argv[1])).experiment)
"""


@pytest.mark.slow
def test_processes_that_meet_an_empty_database_make_one_store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = [sys.executable, "-c", CONNECT, str(tmp_path)]
    processes = [
        subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len({output for output, _ in said}) == 1


@pytest.mark.slow
def test_the_files_of_a_database_are_beside_it_whoever_writes_them(tmp_path, monkeypatch):
    stays, goes = tmp_path / "registry", tmp_path / "workspace"
    stays.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{stays}/mlflow.db")
    store = connect(goes)
    location = store.client.get_experiment(store.experiment).artifact_location
    assert location == (stays / "mlruns").as_uri() and not (goes / "mlruns").exists()
