"""What `run` does when a part of it fails; the real one is tested with the pipeline."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from toy_run import PARAMS, finding, write_evaluation, write_judged, write_verdict
from verbs import understudy

from understudy.cli import main
from understudy.errors import BAD_INPUT, DATA_FAILED, GATE_FAILED, OK, UNEXPECTED, UserError
from understudy.train.log import Log

REPO = Path(__file__).parents[3]


@pytest.fixture
def graph(run, repo):
    """The files of a finished run, under a graph of one stage that does nothing."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=run, check=True)
    (run / "dvc.yaml").write_text("stages: {nothing: {cmd: echo nothing}}\n")
    shipped = yaml.safe_load((repo / "params.yaml").read_text(encoding="utf-8"))
    (run / "params.yaml").write_text(yaml.safe_dump(shipped | yaml.safe_load(PARAMS)))
    write_judged(run, 0.5)
    return run


@pytest.mark.slow
def test_run_ends_with_the_gate_s_code_and_shows_the_table(graph, capsys):
    write_verdict(graph, finding("failed", "miou is below 0.7"))
    code, out, err = understudy(capsys, "run", "--root", graph)
    assert code == GATE_FAILED and err == ""
    assert out.index("gate: FAILED") < out.index("Quality on") < out.index("Where to look next")
    assert out.splitlines()[-1].startswith(f"Look first at {graph / 'report.html'}")
    assert ">Failed</p>" in (graph / "report.html").read_text()
    assert not (graph / "mlflow.db").exists()  # nothing to promote, and tests are not tracked


def fail(root, code, reason):
    """Make the graph's one stage end like that, as a stage of ours would leave it."""
    left = json.dumps({"stage": "check", "code": code, "reason": reason})
    command = f"mkdir -p .understudy/status && echo '{left}' > .understudy/status/check.json && exit {code}"
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"check": {"cmd": command}}}))


@pytest.mark.slow
def test_run_does_not_report_what_was_only_stopped(graph, capsys):
    fail(graph, 75, "stopped by SIGTERM; run it again")
    code, out, err = understudy(capsys, "run", "--root", graph)
    assert code == 75 and "stopped by SIGTERM" in err
    assert "Look first at" not in out and not (graph / "report.html").exists()


@pytest.mark.slow
def test_run_reports_a_stage_that_failed(graph, capsys):
    fail(graph, DATA_FAILED, "2 rows too dark")
    code, out, err = understudy(capsys, "run", "--root", graph)
    assert code == DATA_FAILED and "stage check failed with code 4: 2 rows too dark" in err
    assert out.splitlines()[-1].startswith("Look first at")
    page = (graph / "report.html").read_text()
    assert "Stage check failed" in page and "2 rows too dark" in page


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A finished run whose graph is up to date, and a registry that takes every student."""
    (tmp_path / "params.yaml").write_bytes((REPO / "params.yaml").read_bytes())
    write_evaluation(tmp_path)
    write_verdict(tmp_path, finding("passed", "miou reaches 0.5"))
    monkeypatch.setattr("understudy.adapters.dvc.repro", lambda root: None)
    monkeypatch.setattr("understudy.commands.registry.promote", lambda arguments: OK)
    return tmp_path


def breaks(arguments):
    raise ZeroDivisionError("no pixel")


@pytest.mark.parametrize("verb", ["summary", "report"])
def test_run_keeps_its_code_when_what_shows_it_has_a_bug(verb, judged, capsys, monkeypatch):
    monkeypatch.setattr(f"understudy.commands.{verb}.run", breaks)
    code, out, err = understudy(capsys, "run", "--root", judged)
    assert code == UNEXPECTED and "gate: PASSED" in out and ("Look first at" in out) == (verb == "summary")
    assert err.startswith("Traceback") and err.splitlines()[-1] == f"understudy {verb}: ZeroDivisionError: no pixel"
    write_verdict(judged, finding("failed", "miou is below 0.7"))
    assert understudy(capsys, "run", "--root", judged)[0] == GATE_FAILED


def test_a_failed_stage_keeps_its_code_when_the_report_has_a_bug(judged, capsys, monkeypatch):
    def fails(root):
        raise UserError("stage check failed with code 4", DATA_FAILED)

    monkeypatch.setattr("understudy.adapters.dvc.repro", fails)
    monkeypatch.setattr("understudy.commands.report.run", breaks)
    code, _, err = understudy(capsys, "run", "--root", judged)
    assert code == DATA_FAILED and "report: ZeroDivisionError" in err and "run: stage check failed" in err


@pytest.mark.slow
def test_run_survives_a_store_that_is_down(graph, capsys, monkeypatch):
    monkeypatch.setattr("understudy.adapters.tracking.BACKOFF_SECONDS", (0.0,))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("UNDERSTUDY_TRACKING", "on")
    Log(graph / ".understudy/teacher/abcdef012345/log.jsonl", 0).write(
        "start", stage="teacher", fingerprint="abcdef012345", params={}, steps=10
    )
    code, out, err = understudy(capsys, "run", "--root", graph)
    assert code == BAD_INPUT
    assert "understudy registry promote: the registry at http://127.0.0.1:9 cannot be reached" in err
    assert "understudy track: teacher abcdef01" in err and "not delivered" in err and "Traceback" not in err
    assert out.index("gate: PASSED") < out.index("Quality on")
    # A failed delivery alone is no reason to fail: the gate's code stays.
    write_verdict(graph, finding("failed", "miou is below 0.7"))
    code, out, err = understudy(capsys, "run", "--root", graph)
    assert code == GATE_FAILED and "not delivered" in err and "Quality on" in out
    monkeypatch.setenv("UNDERSTUDY_TRACKING", "off")
    assert "track" not in understudy(capsys, "run", "--root", graph)[2]


def test_run_reads_every_parameter_before_anything_starts(repo, tmp_path, capsys):
    text = (repo / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("max_worse_than_baseline", "max_worse_than_basline"))
    assert main(["run", "--root", str(tmp_path)]) == 2
    assert "max_worse_than_basline" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]
