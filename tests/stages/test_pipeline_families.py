"""The shrunk pipeline with every other generator: trained, pruned, distilled, evaluated, exported and reported."""

import pytest
from chained import run_all, shrunk
from shrunk import CLASSES, SIZE

from understudy.arch import families as architecture
from understudy.cli import main as understudy
from understudy.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("family", "norm", "scores", "size", "objective", "instances", "fewer"),
    [
        ("resnet", "instance", "weight magnitude", SIZE, "pix2pix", False, 4),
        ("unet", "batch", "norm scales", SIZE, "pix2pix", False, 4),
        # Each branch that is left is two more layers for torch's exporter, which takes a third of a second for one.
        ("spade", "batch", "norm scales", (64, 64), "gaugan", True, 40),
    ],
    ids=["resnet", "unet", "spade"],
)
def test_a_family_runs_end_to_end(family, norm, scores, size, objective, instances, fewer, repo, tmp_path):
    values = shrunk(repo, tmp_path, size, objective, instances, family=family, norm=norm)
    values["prune"]["budget"]["macs_legacy_g"] *= 4 / fewer
    run_all(tmp_path, values)
    archs = {
        stage: architecture.load(tmp_path / f"artifacts/{stage}/arch.json") for stage in ("teacher", "prune", "distill")
    }
    assert {arch.input_channels for arch in archs.values()} == {CLASSES + instances}
    assert {arch.family for arch in archs.values()} == {family} and archs["prune"] == archs["distill"]
    pruned = read_json(tmp_path / "artifacts/prune/metrics.json")
    assert pruned["scores"] == scores and pruned["times_fewer_macs_legacy"] >= fewer * 0.999
    lines = (tmp_path / "artifacts/distill/curves.csv").read_text().splitlines()
    terms = {"alignment", "relation", "output"} | ({"feature_matching"} if objective == "gaugan" else set())
    assert terms <= set(lines[0].split(",")) and len(lines) == 3
    models = read_json(tmp_path / "artifacts/evaluate/evaluation.json")["models"]
    assert models["student"]["peak_activation_mb"]["value"] < models["teacher"]["peak_activation_mb"]["value"]
    assert models["student"]["params_m"] == models["baseline"]["params_m"]
    exported = read_json(tmp_path / "artifacts/export/export.json")
    assert exported["parity"]["onnx"]["most"] <= 2 and set(exported["models"]) == {"onnx", "int8"}
    verdict = read_json(tmp_path / "artifacts/gate/verdict.json")
    assert isinstance(verdict["passed"], bool) and set(verdict["exports"]) == {"onnx", "int8"}
    assert understudy(["report", "--root", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "Widths" in page and f"by {scores}" in page and 'id="relation-student"' in page
