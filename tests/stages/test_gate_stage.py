import subprocess
import sys
from pathlib import Path

import pytest

from understudy.errors import BAD_INPUT, DATA_FAILED, OK
from understudy.files import read_json, sha256, write_json
from understudy.gate import DATASET, EVALUATION, JUDGE, STUDENT, TEST_SPLIT
from understudy.verdict import PATH, read_verdict

REPO = Path(__file__).parents[2]
METRIC = "miou_segmenter_noresize_test"


@pytest.fixture
def root(tmp_path):
    files = (*STUDENT, DATASET, TEST_SPLIT, JUDGE)
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    evaluation = {
        "schema": 2,
        "kind": "labels",
        "models": {"student": {METRIC: {"value": 0.4, "low": 0.3, "high": 0.5, "n": 100}}},
        "collapse": {"student": None},
        "files": {name: sha256(tmp_path / name) for name in files},
    }
    write_json(tmp_path / EVALUATION, evaluation)
    return tmp_path


def run(root, bound, *more):
    (root / "params.yaml").write_text(f"gate:\n  {METRIC}: {{min: {bound}}}\n")
    command = [sys.executable, "-m", "stages.gate", "--params", str(root / "params.yaml"), "--root", str(root), *more]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True)


def test_stage_succeeds_whatever_the_verdict_says(root):
    for bound, passed in ((0.3, True), (0.5, False)):
        done = run(root, bound)
        assert done.returncode == OK, done.stderr
        verdict = read_verdict(root / PATH)
        assert verdict.passed is passed
        assert verdict.evaluation_sha256 == sha256(root / EVALUATION)
        assert verdict.files[STUDENT[1]] == sha256(root / STUDENT[1])
        assert ("gate: PASSED" if passed else "gate: FAILED") in done.stdout


def test_stale_evaluation_leaves_no_verdict(root):
    run(root, 0.3)
    (root / STUDENT[1]).write_text("another student")
    done = run(root, 0.3)
    assert done.returncode == DATA_FAILED
    assert STUDENT[1] in done.stderr
    assert not (root / PATH).exists()
    assert read_json(root / ".understudy/status/gate.json")["code"] == DATA_FAILED


def test_bad_policy_and_dry_run_write_nothing(root):
    assert run(root, "nan").returncode == BAD_INPUT
    assert run(root, 0.3, "--dry-run").returncode == OK
    assert not (root / PATH).exists()


def test_needs_neither_torch_nor_a_tracker():
    """Their imports would take most of its time."""
    code = "import sys, stages.gate; print(sorted({'torch', 'mlflow', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
