"""What a recipe's `schedule.processes` makes of a stage's Job."""

import pytest
import yaml

from flows.gpus import PER_NODE, job_variables
from understudy.errors import UserError


@pytest.fixture
def root(repo, tmp_path):
    """A project whose teacher is trained by eight processes, and its student by one."""
    values = yaml.safe_load((repo / "params.yaml").read_text())
    values["teacher"]["schedule"] |= {"processes": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


@pytest.mark.parametrize(("per_node", "asked"), [
    ("", {"nodes": 1, "gpus": 8}), ("8", {"nodes": 1, "gpus": 8}), ("16", {"nodes": 1, "gpus": 8}),
    ("4", {"nodes": 2, "gpus": 4}), ("1", {"nodes": 8, "gpus": 1}),
])  # fmt: skip
def test_every_process_has_a_gpu_on_as_few_nodes_as_there_need_be(root, monkeypatch, per_node, asked):
    monkeypatch.setenv(PER_NODE, per_node)
    assert job_variables(root, "teacher") == asked


@pytest.mark.parametrize("stage", ["distill", "baseline", "judge", "evaluate", "prepare"])
def test_a_stage_of_one_process_has_what_the_pool_gives(root, stage):
    assert job_variables(root, stage) == {}


@pytest.mark.parametrize(("per_node", "said"), [
    ("3", r"params.yaml: teacher.schedule.processes: 8 do not fill nodes of 3 GPUs \(UNDERSTUDY_GPUS_PER_NODE\)"),
    ("0", "UNDERSTUDY_GPUS_PER_NODE: 0: must be"), ("many", "UNDERSTUDY_GPUS_PER_NODE: many: must be"),
])  # fmt: skip
def test_what_cannot_be_divided_is_refused(root, monkeypatch, per_node, said):
    monkeypatch.setenv(PER_NODE, per_node)
    with pytest.raises(UserError, match=said):
        job_variables(root, "teacher")
