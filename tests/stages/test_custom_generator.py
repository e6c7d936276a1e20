"""The document's example of a user's own generator through the shrunk pipeline, from a file of its own."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from own_repository import commit, done, run
from safetensors.torch import load_file
from shrunk import make, ran

from understudy.arch import families as architecture
from understudy.cost import cost
from understudy.files import read_json, sha256

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_document_s_generator_is_trained_compressed_and_needed_no_more(repo, tmp_path):
    document = (repo / "docs/add-an-architecture.md").read_text()
    code, params = (re.search(rf"```{kind}\n(.*?)```", document, re.DOTALL)[1] for kind in ("python", "yaml"))
    make(repo, tmp_path, **yaml.safe_load(params)["teacher"])
    own = tmp_path / "mine.py"
    own.write_text(code)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["teacher"]["custom"]["file"] = own.name
    values["prune"]["budget"]["macs_legacy_g"] *= 4 / 10
    values["distill"]["alignment"]["weight"] = values["distill"]["relation"]["weight"] = 1.0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    commit(tmp_path, "a generator of my own")

    assert ran(done(tmp_path, "dvc", "repro")) >= {"teacher", "prune", "distill", "baseline", "evaluate", "export"}
    teacher, student = (architecture.load(tmp_path / f"artifacts/{s}/arch.json") for s in ("teacher", "distill"))
    assert teacher.family == student.family == "custom" and teacher.depth == "14 convolutions of mine.py:Generator"
    assert cost(student).macs_legacy <= cost(teacher).macs_legacy / 10
    assert student.widths().keys() == teacher.widths().keys()
    lines = (tmp_path / "artifacts/distill/curves.csv").read_text().splitlines()
    assert {"alignment", "relation", "output"} <= set(lines[0].split(",")) and len(lines) == 3
    assert read_json(tmp_path / "artifacts/export/export.json")

    weights = load_file(tmp_path / "artifacts/teacher/weights.safetensors")
    torch.save(weights, tmp_path / "trained.pth")  # by its own names, as its own code would have saved it
    values["teacher"]["source"] = {"weights": "trained.pth", "sha256": sha256(tmp_path / "trained.pth")}
    (tmp_path / "imported.yaml").write_text(yaml.safe_dump(values))
    taken = run(tmp_path, sys.executable, "-m", "stages.teacher", "--params", "imported.yaml", "--dry-run")
    assert taken.returncode == 0 and "imported: 14 convolutions of mine.py:Generator, batch norm" in taken.stdout
    torch.save({name: value for name, value in weights.items() if name != "image.bias"}, tmp_path / "trained.pth")
    values["teacher"]["source"]["sha256"] = sha256(tmp_path / "trained.pth")
    (tmp_path / "imported.yaml").write_text(yaml.safe_dump(values))
    refused = run(tmp_path, sys.executable, "-m", "stages.teacher", "--params", "imported.yaml", "--dry-run")
    assert refused.returncode == 2 and "missing: image.bias" in refused.stderr

    own.write_text(code.replace("range(4)", "range(5)"))
    assert ran(done(tmp_path, "dvc", "repro", "--dry", "teacher")) == {"teacher"}  # DVC sees the edit
    own.write_text(code)
    assert not ran(done(tmp_path, "dvc", "repro", "--dry"))
    own.unlink()
    done(tmp_path, str(Path(sys.executable).with_name("understudy")), "report")
    assert "blocks.0.0.0" in (tmp_path / "report.html").read_text()
    failed = run(tmp_path, sys.executable, "-m", "stages.teacher", "--dry-run")
    assert failed.returncode == 2 and "teacher.custom: mine.py:Generator: no such file" in failed.stderr
