"""The shrunk pipeline on photos: pairs of them, and two domains without pairs, with either student of a CycleGAN."""

from pathlib import Path

import numpy as np
import pytest
from chained import run_all, shrunk
from PIL import Image
from shrunk import IMAGES, SIZE

from understudy.data.scenes.draw import draw
from understudy.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def write_set(folder: Path, paired: bool) -> None:
    """Drawn street scenes in folders A and B. A: the same scenes with red and blue exchanged, or other ones."""
    for split, count in IMAGES.items():
        for index in range(count):
            for side, shift in (("A", 0 if paired else 100), ("B", 0)):
                photo, _ = draw(5, split, index + shift, SIZE)
                path = folder / f"{split}{side}" / f"{index + shift:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ascontiguousarray(photo[:, :, ::-1]) if side == "A" else photo).save(path)


@pytest.mark.parametrize(
    ("kind", "directions", "norm", "precision", "judged"),
    [
        ("photos", "one", "instance_affine", "auto", "l1_to_input_inverter_noresize_test"),
        ("unpaired", "one", "batch", "fp32", "target_share_classifier_noresize_test"),
        ("unpaired", "both", "instance", "fp32", "target_share_classifier_noresize_test"),
    ],
    ids=["photos", "one-direction", "both-directions"],
)
def test_photos_run_end_to_end(kind, directions, norm, precision, judged, repo, tmp_path):
    objective = "cyclegan" if kind == "unpaired" else "pix2pix"
    both = directions == "both"  # as SRPKD has it: a narrower ResNet, the uncentred relation, no alignment
    # A third of the shipped blocks: torch's exporter takes as long as there are layers. test_pipeline.py has them all.
    family = {"family": "resnet"} if both else {"inception": {"blocks": 3, "reduction": 6, "padding": "reflect"}}
    values = shrunk(repo, tmp_path, objective=objective, encoding="rgb", norm=norm, **family)
    write_set(tmp_path / "photos", paired=kind == "photos")
    values["prepare"] |= {"source": "photos", "kind": kind, "direction": "AtoB", "load_size": [36, 36]}
    values["check"] |= {"max_repeated": 1.0}
    values["runtime"]["precision"] = precision
    values["distill"]["cyclegan"] = {"directions": directions}
    if both:
        values["prune"] |= {"method": "uniform", "inherit": "none"}
        values["distill"]["alignment"]["weight"] = 0.0
        values["distill"]["relation"] |= {"norm": "l1", "centred": False}
    if kind == "unpaired":
        values["teacher"]["lambda_recon"] = values["student"]["lambda_recon"] = 0.0
    values["gate"] = {judged: {"min": 0.0}, "macs_legacy_g": values["gate"]["macs_legacy_g"]}
    run_all(tmp_path, values)
    evaluation = read_json(tmp_path / "artifacts/evaluate/evaluation.json")
    for model in ("teacher", "student", "baseline"):
        assert judged in evaluation["models"][model]
        assert "miou_segmenter_noresize_test" not in evaluation["models"][model]
    columns = {
        stage: set((tmp_path / f"artifacts/{stage}/curves.csv").read_text().splitlines()[0].split(","))
        for stage in ("teacher", "distill", "baseline")
    }
    assert {"relation", "output"} <= columns["distill"] and ("alignment" in columns["distill"]) != both
    two_way = {"cycle", "cycle_reverse", "identity", "gan_reverse", "d_reverse"}
    if kind == "unpaired":
        assert two_way <= columns["teacher"] and two_way <= columns["baseline"]
        assert (two_way <= columns["distill"]) == ("relation_reverse" in columns["distill"]) == both
    partners = read_json(tmp_path / "artifacts/teacher/partners.json")
    assert partners["two_way"] == (kind == "unpaired") and partners["trained"]
    assert set(read_json(tmp_path / "artifacts/gate/verdict.json")["exports"]) == {"onnx", "int8"}
