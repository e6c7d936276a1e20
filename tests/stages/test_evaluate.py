"""The evaluate stage's plan, and what it says of networks that do not belong together."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages import evaluate
from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.errors import UserError
from understudy.files import write_json
from understudy.metrics.judge import JudgeNet, save_judge
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.runtime import Runtime
from understudy.stage import Job
from understudy.tensors import save_weights

PARAMS = {Base: Base(0), Runtime: Runtime("cpu", "fp32"), Evaluate: Evaluate(40, 2)}


def network(folder: Path, classes: int) -> None:
    arch = inception(4, 3, 4, "batch", "zero", "onehot", classes, (32, 32))
    architecture.save(arch, folder / "arch.json")
    save_weights(architecture.build(arch), folder / "weights.safetensors")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Three classes, in the data and in every network."""
    made = tmp_path / "artifacts"
    write_json(made / "prepare/dataset.json", {
        "schema": 1, "name": "tiny", "size": [32, 32], "classes": ["a", "b", "c"], "ignore": None, "licence": "CC0",
        "palette": [[255, 0, 0], [0, 255, 0], [0, 0, 255]], "counts": {"train": 1, "val": 1, "test": 5}})  # fmt: skip
    with zipfile.ZipFile(made / "prepare/test.zip", "w") as archive:
        for kind, shape in (("photo", (32, 32, 3)), ("label", (32, 32))):
            stream = io.BytesIO()
            Image.fromarray(np.zeros(shape, np.uint8)).save(stream, "PNG")
            archive.writestr(f"{kind}/0.png", stream.getvalue())
    save_judge(JudgeNet(3, 4), made / "judge")
    for stage in ("teacher", "distill", "baseline"):
        network(made / stage, 3)
    return Job("evaluate", tmp_path, PARAMS)


def test_the_plan_tells_macs_and_time(job):
    plan = evaluate.plan(job)
    assert all("G true" in plan[f"MACs.{name}"] for name in ("teacher", "student", "baseline"))
    assert plan["test images"] == 5 and "just timed" in plan["expected time"]


@pytest.mark.parametrize("begin", [evaluate.plan, evaluate.run])
def test_networks_of_other_classes_are_named(begin, job):
    network(job.root / "artifacts/distill", 4)
    with pytest.raises(UserError, match=r"distill/arch\.json: takes 4 input channels, data set tiny gives 3"):
        begin(job)
    network(job.root / "artifacts/distill", 3)
    save_judge(JudgeNet(4, 4), job.root / "artifacts/judge")
    with pytest.raises(UserError, match=r"judge\.json: knows 4 classes, the data have 3"):
        begin(job)
