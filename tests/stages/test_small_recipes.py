"""The small recipes in full, from data to a verdict: `make test-long` prints how many minutes a fresh one took."""

import json

import pytest
import yaml
from small_recipes import SMALL, finished

from understudy.files import read_json
from understudy.metrics.protocol import READINGS

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * 3600)]


@pytest.mark.parametrize("recipe", SMALL)
def test_it_runs_from_data_to_a_verdict(recipe, repo, capsys):
    root = finished(repo, recipe)
    took = root / "minutes.json"
    with capsys.disabled():
        print(f"\n{recipe}: {took.read_text() if took.exists() else 'not timed: some of it was there before'}")
    if took.exists():
        assert json.loads(took.read_text())["from data to verdict"] > 0
    verdict = read_json(root / "artifacts/gate/verdict.json")
    policy = yaml.safe_load((root / "params.yaml").read_text())["gate"]
    assert isinstance(verdict["passed"], bool) and {rule["metric"] for rule in verdict["rules"]} >= set(policy)
    assert set(verdict["exports"]) == {"onnx", "int8"}
    evaluation = read_json(root / "artifacts/evaluate/evaluation.json")
    for model in ("teacher", "student", "baseline"):
        assert READINGS[evaluation["kind"]][0].name in evaluation["models"][model]
    assert (root / "report.html").exists()
