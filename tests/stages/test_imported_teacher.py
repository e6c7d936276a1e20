"""A generator that other code has trained, from its file to a verdict on a student of a tenth of its cost."""

import csv
import sys
from typing import Any

import pytest
import torch
import yaml
from chained import job_of, run_all, shrunk
from own_repository import run
from public_layout import Resnet, Unet
from shrunk import SIZE, legacy_macs

from stages import distill
from stages import teacher as stage
from understudy.arch.families import load
from understudy.arch.resnet import resnet
from understudy.arch.unet import unet
from understudy.cli import main as understudy
from understudy.cost import cost
from understudy.errors import UserError
from understudy.files import read_json, sha256

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NGF, BLOCKS = 16, 9
RESNET = resnet(NGF, BLOCKS, "instance", "reflect", "rgb", 3, SIZE)
UNET = unet(16, 5, "batch", "rgb", 3, SIZE)


def write_checkpoint(path, net):
    """As the public code writes it: pix2pix's normal initialisation of convolutions and of the norms' scales."""
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if name.endswith("weight"):
            value.normal_(0 if value.dim() == 4 else 1, 0.02, generator=generator)
    torch.save(net.state_dict(), path)


def with_imported(repo, root, net, arch) -> dict[str, Any]:
    """Parameters of which the teacher is `net`, `arch` is what is to be recognised of it, and the budget is a tenth."""
    params = shrunk(repo, root)
    write_checkpoint(root / "latest_net_G.pth", net)
    params["teacher"] |= {
        "source": {"weights": "latest_net_G.pth", "sha256": sha256(root / "latest_net_G.pth")},
        "encoding": "rgb",
    }
    params["distill"]["discriminator"] = "fresh"
    macs = cost(arch).macs_legacy
    params["prune"]["budget"] = legacy_macs(macs / 10)
    params["gate"]["macs_legacy_g"] = {"max": macs / 10 / 1e9}
    return params


@pytest.fixture(scope="module")
def root(repo, tmp_path_factory):
    root = tmp_path_factory.mktemp("imported")
    (root / "params.yaml").write_text(
        yaml.safe_dump(with_imported(repo, root, Resnet(NGF, BLOCKS, "instance"), RESNET))
    )
    return root


@pytest.fixture
def other(root, monkeypatch):
    """`other(section, key, value)`: the parameters with that changed, as a file beside them."""
    monkeypatch.chdir(root)  # from where the stages are run

    def write(section, key, value):
        values = yaml.safe_load((root / "params.yaml").read_text())
        values[section][key] = value
        (root / "other.yaml").write_text(yaml.safe_dump(values))
        return "other.yaml"

    return write


def test_it_is_compressed_to_a_tenth_and_gated(root, capsys):
    run_all(root, yaml.safe_load((root / "params.yaml").read_text()))
    output = capsys.readouterr().out
    assert "constant output" in output or "mode collapse" in output  # random weights ignore their input
    assert "teacher: imported 9 resnet blocks, instance norm, from latest_net_G.pth" in output
    teacher, student = load(root / "artifacts/teacher/arch.json"), load(root / "artifacts/distill/arch.json")
    assert teacher == RESNET
    assert 0.09 * cost(teacher).macs_legacy <= cost(student).macs_legacy <= 0.1 * cost(teacher).macs_legacy
    assert "scores: weight magnitude" in (root / "artifacts/prune/diff.txt").read_text()
    rules = {(rule["metric"], rule["rule"]): rule["outcome"] for rule in
             read_json(root / "artifacts/gate/verdict.json")["rules"]}  # fmt: skip
    assert rules["macs_legacy_g", "max"] == "passed"
    with (root / "artifacts/teacher/validation.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["step"] == "0" and 0 <= float(row["miou_segmenter_noresize_val"]) <= 1
    assert understudy(["report", "--root", str(root)]) == 0
    assert "resnet" in (root / "report.html").read_text()


def test_another_file_than_was_meant_is_refused_and_nothing_is_lost(root):
    before = sha256(root / "artifacts/teacher/weights.safetensors")
    path = root / "latest_net_G.pth"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    try:
        ended = run(root, sys.executable, "-m", "stages.teacher")  # the command: what it wrote before stays
        assert ended.returncode == 2 and "teacher: teacher.source.sha256: latest_net_G.pth has SHA-256" in ended.stderr
        assert ended.stderr.count("\n") == 1
    finally:
        path.write_bytes(content)
    assert sha256(root / "artifacts/teacher/weights.safetensors") == before


def test_the_wrong_encoding_is_said_with_what_to_set(root, other):
    with pytest.raises(UserError, match=r"takes 3 input channels.*set teacher\.encoding") as refused:
        stage.plan(job_of(stage, root, other("teacher", "encoding", "onehot")))
    assert refused.value.code == 2


def test_no_student_starts_from_a_discriminator_that_was_never_trained(root, other):
    with pytest.raises(UserError, match="set it to fresh") as refused:
        distill.plan(job_of(distill, root, other("distill", "discriminator", "teacher")))
    assert refused.value.code == 2


def test_a_unet_is_compressed_to_a_tenth_and_gated_too(repo, tmp_path, capsys):
    """pix2pix's own generator: batch norms, whose scales rank the channels, and dropout."""
    torch.manual_seed(0)
    run_all(tmp_path, with_imported(repo, tmp_path, Unet(16, 5, "batch", dropout=True), UNET))
    output = capsys.readouterr().out
    assert f"teacher: imported {UNET.depth}, batch norm, from latest_net_G.pth" in output
    teacher, student = (load(tmp_path / f"artifacts/{stage}/arch.json") for stage in ("teacher", "distill"))
    assert teacher == UNET and student.family == "unet"
    assert 0.08 * cost(teacher).macs_legacy <= cost(student).macs_legacy <= 0.1 * cost(teacher).macs_legacy
    assert "scores: norm scales" in (tmp_path / "artifacts/prune/diff.txt").read_text()
    models = read_json(tmp_path / "artifacts/evaluate/evaluation.json")["models"]
    size = {name: models[name]["params_m"]["value"] for name in ("teacher", "student", "baseline")}
    assert size["student"] == size["baseline"] < size["teacher"]
    rules = {(rule["metric"], rule["rule"]): rule["outcome"] for rule in
             read_json(tmp_path / "artifacts/gate/verdict.json")["rules"]}  # fmt: skip
    assert rules["macs_legacy_g", "max"] == "passed"
    assert (tmp_path / "artifacts/export/student.onnx").exists()
