"""The shrunk pipeline with every other generator: trained, pruned, distilled, evaluated and reported."""

import sys
from pathlib import Path

import pytest
from own_repository import done
from shrunk import CLASSES, SIZE, make, ran

from understudy.arch import families as architecture
from understudy.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(
    ("family", "norm", "scores", "size", "objective", "instances"),
    [
        # In CI these two are teachers that come as files: test_imported_teacher.py.
        pytest.param("resnet", "instance", "weight magnitude", SIZE, "pix2pix", False, marks=pytest.mark.long),
        pytest.param("unet", "batch", "norm scales", SIZE, "pix2pix", False, marks=pytest.mark.long),
        ("spade", "batch", "norm scales", (64, 64), "gaugan", True),
    ],
    ids=["resnet", "unet", "spade"],
)
def test_a_family_runs_end_to_end(family, norm, scores, size, objective, instances, repo, tmp_path):
    make(repo, tmp_path, size, objective, instances, family=family, norm=norm)
    assert ran(done(tmp_path, "dvc", "repro")) >= {"teacher", "prune", "distill", "baseline", "evaluate", "gate"}
    archs = {
        stage: architecture.load(tmp_path / f"artifacts/{stage}/arch.json") for stage in ("teacher", "prune", "distill")
    }
    assert {arch.input_channels for arch in archs.values()} == {CLASSES + instances}
    assert {arch.family for arch in archs.values()} == {family} and archs["prune"] == archs["distill"]
    pruned = read_json(tmp_path / "artifacts/prune/metrics.json")
    assert pruned["scores"] == scores and pruned["times_fewer_macs_legacy"] >= 4 * 0.999
    lines = (tmp_path / "artifacts/distill/curves.csv").read_text().splitlines()
    terms = {"alignment", "relation", "output"} | ({"feature_matching"} if objective == "gaugan" else set())
    assert terms <= set(lines[0].split(",")) and len(lines) == 3
    models = read_json(tmp_path / "artifacts/evaluate/evaluation.json")["models"]
    assert models["student"]["peak_activation_mb"]["value"] < models["teacher"]["peak_activation_mb"]["value"]
    assert models["student"]["params_m"] == models["baseline"]["params_m"]
    exported = read_json(tmp_path / "artifacts/export/export.json")
    assert exported["parity"]["onnx"]["most"] <= 2 and set(exported["models"]) == {"onnx", "int8"}
    done(tmp_path, str(Path(sys.executable).with_name("understudy")), "report")
    page = (tmp_path / "report.html").read_text()
    assert "Widths" in page and f"by {scores}" in page and 'id="relation-student"' in page
