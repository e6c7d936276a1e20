import subprocess
import sys
from pathlib import Path

import pytest

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
