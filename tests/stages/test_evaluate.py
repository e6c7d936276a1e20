"""The evaluate stage's plan, its metrics by Inception, and what it says of networks that do not belong together."""

import dataclasses
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx_segmentation
import pytest
import torch
from PIL import Image
from random_inception import content, pictures
from safetensors.torch import load_file
from three_kinds import write_prepared

from stages import evaluate
from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.data.prepared import load_info, load_split
from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.gate import judge
from understudy.metrics import inception_scoring, jury
from understudy.metrics.judge import build_judge, save_judge
from understudy.metrics.protocol import JUDGED, JUDGES, READINGS
from understudy.metrics.segmenter import Segmenter
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate, Inception
from understudy.params.gate import Gate
from understudy.params.runtime import Runtime
from understudy.report.page import write_page
from understudy.report.tables import tables
from understudy.stage import Job
from understudy.tensors import save_weights

PARAMS = {Base: Base(0), Runtime: Runtime("cpu", "fp32"), Evaluate: Evaluate(40, 2, None, None)}


COUNTS = {"train": 3, "val": 1, "test": 5}


def write_split(path: Path, seed: int, count: int) -> None:
    photos = pictures(seed, count, (32, 32)).permute(0, 2, 3, 1).numpy()  # [N, 3, H, W] -> [N, H, W, 3]
    with zipfile.ZipFile(path, "w") as archive:
        for index, photo in enumerate(photos):
            label = photo[..., 0] // 86  # three classes
            for kind, image in (("photo", photo), ("input", label.astype(np.uint8))):
                stream = io.BytesIO()
                Image.fromarray(image).save(stream, "PNG")
                archive.writestr(f"{kind}/{index}.png", stream.getvalue())


def network(folder: Path, classes: int) -> None:
    arch = inception(4, 3, 4, "batch", "zero", "onehot", classes, (32, 32))
    architecture.save(arch, folder / "arch.json")
    save_weights(architecture.build(arch), folder / "weights.safetensors")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Three classes, in the data and in every network."""
    made = tmp_path / "artifacts"
    write_json(made / "prepare/dataset.json", {
        "schema": 2, "name": "tiny", "kind": "labels",
        "size": [32, 32], "classes": ["a", "b", "c"], "ignore": None, "licence": "CC0",
        "palette": [[255, 0, 0], [0, 255, 0], [0, 0, 255]], "counts": COUNTS})  # fmt: skip
    for seed, split in enumerate(("train", "test")):
        write_split(made / f"prepare/{split}.zip", seed, COUNTS[split])
    save_judge(Segmenter(3, 4), made / "judge")
    for stage in ("teacher", "distill", "baseline"):
        network(made / stage, 3)
    return Job("evaluate", tmp_path, PARAMS)


def test_the_plan_tells_macs_and_time(job):
    plan = evaluate.plan(job)
    assert all("G true" in plan[f"MACs.{name}"] for name in ("teacher", "student", "baseline"))
    assert plan["test images"] == "5" and "just timed" in plan["expected time"]


@pytest.mark.parametrize("begin", [evaluate.plan, evaluate.run])
def test_networks_of_other_classes_are_named(begin, job):
    network(job.root / "artifacts/distill", 4)
    with pytest.raises(UserError, match=r"distill/arch\.json: takes 4 input channels, data set tiny gives 3"):
        begin(job)
    network(job.root / "artifacts/distill", 3)
    save_judge(Segmenter(4, 4), job.root / "artifacts/judge")
    with pytest.raises(UserError, match=r"judge\.json: knows 4 classes, the data have 3"):
        begin(job)


@pytest.fixture
def with_inception(job, monkeypatch):
    """The job with random weights of Inception, at an address; what is fetched is kept in the job's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(job.root.absolute() / "cache"))
    data, sha256 = content()
    (job.root / "weights.pth").write_bytes(data)
    asked = Inception((job.root / "weights.pth").as_uri(), sha256, ("bilinear299",), ("test", "train_test"))
    return dataclasses.replace(job, sections=job.sections | {Evaluate: Evaluate(40, 2, asked, None)})


@pytest.mark.slow
def test_every_model_is_scored_by_inception(with_inception, monkeypatch, capsys):
    job = with_inception
    evaluate.run(job)
    name = f"inception{content()[1][:8]}"
    names = {f"frechet_distance_{name}_bilinear299_test", f"frechet_distance_{name}_bilinear299_train_test",
             f"kid_{name}_bilinear299_test"}  # fmt: skip
    found = read_json(job.output("evaluate/evaluation.json"))
    for model in ("teacher", "student", "baseline"):
        assert names <= set(found["models"][model])
        assert all(found["models"][model][metric]["n"] == 5 for metric in names)
    assert not names & set(found["models"]["real"])
    for other in ("teacher", "baseline"):
        assert names <= set(found["differences"][f"student_minus_{other}"])
    assert names <= set(read_json(job.output("evaluate/metrics.json"))["student"])
    assert "artifacts/prepare/train.zip" in found["files"]
    said = capsys.readouterr().out
    assert said.count("5 test images for Inception's 2048 features") == 1 and "is no FID" in said
    # Real photos are looked at once, weights fetched once.
    (job.root / "weights.pth").unlink()
    looked = []
    whole = inception_scoring.features
    monkeypatch.setattr(
        inception_scoring, "features", lambda net, photos, how: looked.append(photos) or whole(net, photos, how)
    )
    evaluate.scene.cache_clear()
    evaluate.run(job)
    assert len(looked) == 3
    assert read_json(job.output("evaluate/evaluation.json")) == found
    assert "fetching" not in capsys.readouterr().out


def test_without_weights_inception_is_not_even_built(job, monkeypatch):
    monkeypatch.setattr(jury, "InceptionScoring", None)
    evaluate.run(job)
    found = read_json(job.output("evaluate/evaluation.json"))
    assert not any("inception" in metric for model in found["models"].values() for metric in model)
    assert "artifacts/prepare/train.zip" not in found["files"] and not (job.root / jury.CACHE).exists()


def test_wrong_weights_stop_the_plan(with_inception):
    (with_inception.root / "weights.pth").write_bytes(b"a page that says: not found")
    with pytest.raises(UserError, match=r"evaluate\.inception\.sha256: .*has SHA-256 .*expected"):
        evaluate.plan(with_inception)


@pytest.fixture
def with_segmentation(job, monkeypatch):
    """The job with a network that takes the strongest of three colours for the class, at an address."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(job.root.absolute() / "cache"))
    path = onnx_segmentation.channels(job.root / "net.onnx")
    asked = dataclasses.replace(onnx_segmentation.asked(path), network=path.as_uri())
    return dataclasses.replace(job, sections=job.sections | {Evaluate: Evaluate(40, 2, None, asked)})


def test_every_model_and_the_real_photos_are_scored_by_a_network_of_the_users(with_segmentation, capsys):
    job = with_segmentation
    planned = evaluate.plan(job)["metrics by segmentation"].split(", ")
    evaluate.run(job)
    assert "3 classes; left out: none" in capsys.readouterr().out
    found = read_json(job.output("evaluate/evaluation.json"))
    digits = job.params(Evaluate).segmentation.sha256[:8]
    for name, statistic in zip(planned, ("miou", "pixel_accuracy"), strict=True):
        assert name.startswith(f"{statistic}_onnx{digits}_") and name.endswith("_noresize_prepared_test")
        for model in ("teacher", "student", "baseline", "real"):
            entry = found["models"][model][name]
            assert entry["n"] == 5 and 0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
        for other in ("teacher", "baseline"):
            assert name in found["differences"][f"student_minus_{other}"]
        assert name in read_json(job.output("evaluate/metrics.json"))["student"]
        assert f"student/{name}" in load_file(job.output("evaluate/resamples.safetensors"))
    info = load_info(job.input("prepare/dataset.json"))
    pairs = load_split(job.input("prepare/test.zip"), info)
    right = pairs.photos.argmax(1) == pairs.inputs  # equal colours: the first of them, there as here
    assert found["models"]["real"][planned[1]]["value"] == pytest.approx(right.double().mean().item(), abs=1e-12)
    policy = Gate.parse({name: {"max_worse_than_teacher": 1.0, "min": 0.0} for name in planned}, "params.yaml: gate")
    judged = [rule for rule in judge(policy, found, "0" * 64).rules if rule.metric in planned]  # others: of collapse
    assert len(judged) == 4 and all(rule.outcome == "passed" for rule in judged)
    before = found
    evaluate.scene.cache_clear()
    (job.root / "net.onnx").unlink()  # fetched once
    evaluate.run(job)
    assert read_json(job.output("evaluate/evaluation.json")) == before


def test_onnx_runtime_is_needed_only_where_a_network_is_named(job, with_segmentation, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "understudy.onnx_session", raising=False)
    evaluate.run(job)
    found = read_json(job.output("evaluate/evaluation.json"))
    assert not any("onnx" in metric for model in found["models"].values() for metric in model)
    with pytest.raises(UserError, match=r"evaluate\.segmentation: needs onnxruntime, which is not installed; `pip"):
        evaluate.plan(with_segmentation)


def test_another_file_than_named_stops_the_plan(with_segmentation):
    (with_segmentation.root / "net.onnx").write_bytes(b"a page that says: not found")
    with pytest.raises(UserError, match=r"evaluate\.segmentation\.sha256: .*has SHA-256 .*expected"):
        evaluate.plan(with_segmentation)


@pytest.mark.parametrize("kind", ["photos", "unpaired"])
def test_data_without_classes_are_scored_by_their_own_judge(kind, tmp_path):
    info = write_prepared(tmp_path, kind)
    torch.manual_seed(0)
    save_judge(build_judge(info, 1), tmp_path / "artifacts/judge")
    for stage in ("teacher", "distill", "baseline"):
        arch = inception(4, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
        architecture.save(arch, tmp_path / f"artifacts/{stage}/arch.json")
        save_weights(architecture.build(arch), tmp_path / f"artifacts/{stage}/weights.safetensors")
    job = Job("evaluate", tmp_path, PARAMS)
    evaluate.plan(job)
    evaluate.run(job)
    found = read_json(job.output("evaluate/evaluation.json"))
    names = {metric.name for metric in JUDGED[kind]}
    assert found["kind"] == kind and found["per_class_iou"] == {} and names <= set(found["models"]["student"])
    assert set(found["models"]["real"]) == {metric.name for metric in READINGS[kind]}
    assert names <= set(found["differences"]["student_minus_teacher"])
    assert job.output("evaluate/classes.csv").read_text() == "class,teacher,student,baseline,real\n"
    assert job.output("evaluate/samples.png").exists() and set(found["collapse"]) == {"teacher", "student", "baseline"}
    page = tmp_path / "report.html"
    write_page(tmp_path, page)
    html = page.read_text()
    assert JUDGES[kind] in html and 'id="classes"' not in html and "IoU" not in html and 'id="widths"' in html
    assert "by the run's own " + JUDGES[kind] in "\n".join(table.text() for table in tables(found, None))
