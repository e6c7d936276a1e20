"""The commands of docs/add-an-architecture.md for the plain narrower network at the same cost, on a shrunk run."""

import re

import pytest
from chained import run_all
from own_repository import done
from shrunk import make

from understudy.arch import families as architecture
from understudy.cost import cost
from understudy.files import read_json
from understudy.params.loader import read

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_the_documented_commands_set_the_narrower_network_beside_the_pruned_one(repo, tmp_path):
    document = (repo / "docs/add-an-architecture.md").read_text()
    section = document.partition("### The plain narrower network at the same cost")[2]
    commands = re.search(r"```\n(.*?)```", section, re.DOTALL)[1]
    assert "dvc exp run -S teacher.family=resnet" in commands
    make(repo, tmp_path)
    values = read(tmp_path / "params.yaml")
    budget = values["prune"]["budget"]["macs_legacy_g"] * 1e9
    run_all(tmp_path, values)  # the run that it is compared with; DVC is told of it
    done(tmp_path, "dvc", "commit", "--force")
    done(tmp_path, "git", "add", "--all")  # dvc.lock and metrics, which a user's repository has since its first run
    pruned = architecture.load(tmp_path / "artifacts/prune/arch.json")
    for key, value in (("user.name", "t"), ("user.email", "t@localhost")):
        done(tmp_path, "git", "config", key, value)

    printed = done(tmp_path, "bash", "-euxo", "pipefail", "-c", commands)
    assert "Running stage 'teacher'" in printed and "Running stage 'prepare'" not in printed
    assert "Running stage 'judge'" not in printed, "the same judge"
    teacher, narrow, student = (
        architecture.load(tmp_path / f"artifacts/{stage}/arch.json") for stage in ("teacher", "baseline", "distill")
    )
    assert teacher.family == "resnet" and narrow == student != pruned
    assert narrow == architecture.load(tmp_path / "artifacts/prune/arch.json")
    ratios = {narrow.widths()[name] / width for name, width in teacher.widths().items()}
    assert max(ratios) - min(ratios) < 0.1, "every width by the same factor"
    assert 0.7 * budget <= cost(narrow).macs_legacy <= budget  # at 32 px widths are few, and steps coarse
    models = read_json(tmp_path / "artifacts/evaluate/evaluation.json")["models"]
    assert "miou_segmenter_noresize_test" in models["baseline"]
    page = (tmp_path / "report.html").read_text()
    assert "Against HEAD" in page and "teacher.family" in page and "metrics do not compare" not in page
