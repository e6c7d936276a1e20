"""A verdict is believed when the gate says the same of the same evaluation."""

from dataclasses import replace

import pytest

from understudy.errors import DATA_FAILED, UserError
from understudy.gate import JUDGE, TEST_SPLIT, judge
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.rejudging import judge_again

GATE = Gate({MIOU: {"min": 0.3}}, "params.yaml: gate")
EVALUATION = {
    "schema": 2, "kind": "labels", "models": {"student": {MIOU: {"value": 0.4, "n": 100}}},
    "collapse": {"student": None}, "files": {TEST_SPLIT: "d", JUDGE: "j"},
}  # fmt: skip
VERDICT = judge(GATE, EVALUATION, "e")


def again(verdict, evaluation=EVALUATION, gate=GATE):
    return judge_again(gate, evaluation, "e", None, verdict)


def test_wording_is_the_gates_own_and_needs_not_be_the_same():
    elsewhere = replace(GATE, source="its policy")
    found = again(VERDICT, gate=elsewhere)
    assert "its policy" in found.rules[0].message and found != VERDICT
    assert again(found) == VERDICT


@pytest.mark.parametrize(
    ("verdict", "differ"),
    [
        (replace(VERDICT, passed=False), "it says FAILED, the gate says PASSED"),
        (replace(VERDICT, metrics={MIOU: 0.5}), "both say PASSED, of other numbers"),
        (replace(VERDICT, rules=(replace(VERDICT.rules[0], bound=0.1),)), "both say PASSED, of other numbers"),
        (replace(VERDICT, evaluation_sha256="f"), "both say PASSED, of other numbers"),
    ],
)
def test_another_verdict_is_refused(verdict, differ):
    with pytest.raises(UserError, match=differ) as told:
        again(verdict)
    assert told.value.code == DATA_FAILED


@pytest.mark.parametrize("evaluation", [{}, [], None, {**EVALUATION, "models": []}, {**EVALUATION, "files": {}}])
def test_what_cannot_be_judged_confirms_nothing(evaluation):
    with pytest.raises(UserError, match=r"evaluation\.json cannot be judged") as told:
        again(VERDICT, evaluation)
    assert told.value.code == DATA_FAILED
