"""What promotion does in detail is tested with its adapter."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_run import PARAMS, write_judged
from verbs import understudy

from understudy.errors import BAD_INPUT, DATA_FAILED, GATE_FAILED, OK

REPO = Path(__file__).parents[3]


def test_promote_needs_parameters(tmp_path, capsys):
    code, _, err = understudy(capsys, "registry", "promote", "--params", tmp_path / "none.yaml", "--root", tmp_path)
    assert code == BAD_INPUT and "none.yaml: no such parameter file" in err
    # Those of the root, not of the current folder.
    code, _, err = understudy(capsys, "registry", "promote", "--root", tmp_path / "elsewhere")
    assert code == BAD_INPUT and f"{tmp_path / 'elsewhere/params.yaml'}: no such parameter file" in err


@pytest.mark.slow
def test_promote_needs_a_verdict(tmp_path, capsys):
    code, _, err = understudy(capsys, "registry", "promote", "--params", REPO / "params.yaml", "--root", tmp_path)
    assert code == DATA_FAILED and err.startswith("understudy registry: ") and "verdict.json" in err
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_a_promoted_student_translates_like_the_one_that_was_promoted(run, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (run / "params.yaml").write_text(PARAMS)
    write_judged(run, 0.7)
    promote = ("registry", "promote", "--root", run)
    code, _, err = understudy(capsys, *promote)
    assert code == GATE_FAILED and "0.6 is below the least allowed, 0.7" in err
    write_judged(run, 0.5)
    code, out, err = understudy(capsys, *promote)
    assert code == OK, err
    assert "champion: toy-student version 1 (new)" in out and "models:/toy-student@champion" in out
    for model in ("student", "models:/toy-student@champion"):
        output = tmp_path / model.partition(":")[0]
        code, _, err = understudy(capsys, "translate", tmp_path / "maps", "--output", output, "--with", model,
                                  "--root", run)  # fmt: skip
        assert code == OK, err
    ours, theirs = (np.asarray(Image.open(tmp_path / folder / "index.png")) for folder in ("student", "models"))
    assert np.array_equal(ours, theirs)
