"""The document's example of a user's own generator through the shrunk pipeline, from a file of its own."""

import re

import pytest
import torch
import yaml
from chained import job_of, run_all
from own_repository import commit, done
from safetensors.torch import load_file
from shrunk import make, ran

from stages import teacher as stage
from understudy.arch import families as architecture
from understudy.cli import main as understudy
from understudy.cost import cost
from understudy.errors import UserError
from understudy.files import read_json, sha256

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_document_s_generator_is_trained_compressed_and_needed_no_more(repo, tmp_path, monkeypatch):
    document = (repo / "docs/add-an-architecture.md").read_text()
    code, params = (re.search(rf"```{kind}\n(.*?)```", document, re.DOTALL)[1] for kind in ("python", "yaml"))
    make(repo, tmp_path, **yaml.safe_load(params)["teacher"])
    own = tmp_path / "mine.py"
    own.write_text(code)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["teacher"]["custom"]["file"] = own.name
    values["prune"]["budget"]["macs_legacy_g"] *= 4 / 10
    values["distill"]["alignment"]["weight"] = values["distill"]["relation"]["weight"] = 1.0
    commit(tmp_path, "a generator of my own")
    run_all(tmp_path, values)
    monkeypatch.chdir(tmp_path)  # from where the stages are run
    teacher, student = (architecture.load(tmp_path / f"artifacts/{s}/arch.json") for s in ("teacher", "distill"))
    assert teacher.family == student.family == "custom" and teacher.depth == "14 convolutions of mine.py:Generator"
    assert cost(student).macs_legacy <= cost(teacher).macs_legacy / 10
    assert student.widths().keys() == teacher.widths().keys()
    lines = (tmp_path / "artifacts/distill/curves.csv").read_text().splitlines()
    assert {"alignment", "relation", "output"} <= set(lines[0].split(",")) and len(lines) == 3
    exported = read_json(tmp_path / "artifacts/export/export.json")
    assert exported["parity"]["onnx"]["most"] <= 2 and set(exported["models"]) == {"onnx", "int8"}
    assert set(read_json(tmp_path / "artifacts/gate/verdict.json")["exports"]) == {"onnx", "int8"}

    weights = load_file(tmp_path / "artifacts/teacher/weights.safetensors")
    torch.save(weights, tmp_path / "trained.pth")  # by its own names, as its own code would have saved it
    values["teacher"]["source"] = {"weights": "trained.pth", "sha256": sha256(tmp_path / "trained.pth")}
    (tmp_path / "imported.yaml").write_text(yaml.safe_dump(values))
    taken = stage.plan(job_of(stage, tmp_path, "imported.yaml"))
    assert taken["imported"].startswith("14 convolutions of mine.py:Generator, batch norm")
    torch.save({name: value for name, value in weights.items() if name != "image.bias"}, tmp_path / "trained.pth")
    values["teacher"]["source"]["sha256"] = sha256(tmp_path / "trained.pth")
    (tmp_path / "imported.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"missing: image\.bias"):
        stage.plan(job_of(stage, tmp_path, "imported.yaml"))

    done(tmp_path, "dvc", "commit", "--force")  # what was made above is what DVC knows
    own.write_text(code.replace("range(4)", "range(5)"))
    assert ran(done(tmp_path, "dvc", "repro", "--dry", "teacher")) == {"teacher"}  # DVC sees the edit
    own.write_text(code)
    assert not ran(done(tmp_path, "dvc", "repro", "--dry"))
    own.unlink()
    assert understudy(["report", "--root", str(tmp_path)]) == 0
    assert "blocks.0.0.0" in (tmp_path / "report.html").read_text()
    with pytest.raises(UserError, match=r"teacher\.custom: mine\.py:Generator: no such file"):
        stage.plan(job_of(stage, tmp_path))
