from toy_run import finding, write_verdict
from verbs import understudy

from understudy.errors import DATA_FAILED, GATE_FAILED, OK


def test_gate_tells_passed_failed_and_unreadable_apart(tmp_path, capsys):
    write_verdict(tmp_path, finding("passed", "miou reaches 0.5"))
    code, out, _ = understudy(capsys, "gate", "--root", tmp_path)
    assert code == OK and "PASSED" in out and "miou reaches 0.5" in out
    write_verdict(tmp_path, finding("passed", "fine"), finding("failed", "miou is below 0.7"))
    code, out, _ = understudy(capsys, "gate", "--root", tmp_path)
    assert code == GATE_FAILED and "FAILED" in out and "miou is below 0.7" in out
    (tmp_path / "artifacts/gate/verdict.json").write_text('{"schema": 1, "passed": true')
    code, out, err = understudy(capsys, "gate", "--root", tmp_path)
    assert code == DATA_FAILED and out == "" and err.startswith("understudy gate: ") and "verdict.json" in err
    assert understudy(capsys, "gate", "--root", tmp_path / "nowhere")[0] == DATA_FAILED
