from toy_run import WEIGHTS, finding, write_evaluation, write_verdict
from verbs import understudy

from understudy.errors import BAD_INPUT, OK
from understudy.files import write_json
from understudy.report.tables import MODELS


def test_summary_shows_tables_verdict_and_where_to_look(tmp_path, capsys):
    write_evaluation(tmp_path)
    write_verdict(tmp_path, finding("failed", "miou is below the least allowed " * 5))
    timed = {"median_ms": 2.0, "p10_ms": 1.0, "p90_ms": 3.0, "runs": 9}
    latency = {"threads": 2, "device": "cpu", "models": dict.fromkeys(MODELS, timed), "files": {WEIGHTS: "0" * 64}}
    write_json(tmp_path / ".understudy/evaluate/latency.json", latency)
    code, out, _ = understudy(capsys, "summary", "--root", tmp_path)
    assert code == OK
    for words in (
        "0.600 [0.590, 0.610]",
        "20.0x",
        "median latency",
        "FAILED",
        "miou is below",
        "mlflow ui",
        "samples.png",
    ):
        assert words in out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 100
    # Restored by DVC: the evaluation is of other networks than those that were timed here last.
    write_json(tmp_path / ".understudy/evaluate/latency.json", {**latency, "files": {WEIGHTS: "1" * 64}})
    assert "median latency" not in understudy(capsys, "summary", "--root", tmp_path)[1]


def test_summary_copes_without_verdict_and_latency(tmp_path, capsys):
    write_evaluation(tmp_path)
    code, out, _ = understudy(capsys, "summary", "--root", tmp_path)
    assert code == OK and "not timed" in out and "dvc repro gate" in out


def test_summary_as_markdown_is_verdict_and_tables_alone(tmp_path, capsys):
    write_evaluation(tmp_path)
    code, out, _ = understudy(capsys, "summary", "--root", tmp_path, "--markdown")
    assert code == OK and out.startswith("**Verdict: none**") and out.count("| --- |") == 3
    write_verdict(tmp_path, finding("passed", "fine"), finding("failed", "miou is below"))
    code, out, _ = understudy(capsys, "summary", "--root", tmp_path, "--markdown")
    assert code == OK and out.startswith("**Verdict: FAILED (1 failed, 1 passed)**")
    assert out.index("| failed |") < out.index("| passed |") < out.index("Quality on")
    assert out.count("| --- |") == 4 and "Where to look" not in out


def test_summary_without_a_run_says_what_makes_one(tmp_path, capsys):
    code, _, err = understudy(capsys, "summary", "--root", tmp_path)
    assert code == BAD_INPUT and "evaluation.json: no such file; `dvc repro`" in err
    write_json(tmp_path / "artifacts/evaluate/evaluation.json", {"models": []})
    code, _, err = understudy(capsys, "summary", "--root", tmp_path)
    assert code == BAD_INPUT and "not what evaluate writes" in err and err.count("\n") == 1
