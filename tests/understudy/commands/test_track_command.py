import pytest
from verbs import understudy

from understudy.errors import OK
from understudy.train.log import Log


@pytest.mark.slow
def test_track_delivers_what_is_pending(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log = Log(tmp_path / ".understudy/teacher/abcdef012345/log.jsonl", 0)
    log.write("start", stage="teacher", fingerprint="abcdef012345", params={"base.seed": 0}, steps=10)
    log.write("step", step=10, losses={"recon": 0.5}, rate=3.0)
    log.write("end", metrics={"miou": 0.5})
    code, out, _ = understudy(capsys, "track", "--root", tmp_path)
    assert code == OK and "teacher abcdef01: delivered" in out
    assert (tmp_path / "mlflow.db").stat().st_size > 0
