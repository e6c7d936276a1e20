"""What a changed policy means, and which exit code a review has."""

import dataclasses
import json

import pytest

from understudy.errors import DATA_FAILED, GATE_FAILED, OK, STALE, UserError
from understudy.export.record import FILES, RECORD
from understudy.files import sha256, write_json
from understudy.gate import DATASET, EVALUATION, JUDGE, STUDENT, TEST_SPLIT, judge, read_evaluation
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.params.leaves import Change
from understudy.review import JUDGED, Review, absent_for_judging, committed_verdict, other_changes, policy_changes
from understudy.verdict import PATH, Verdict

PASSED = Verdict(True, (), {}, {}, "", "", "", {})
FAILED = dataclasses.replace(PASSED, passed=False)


@pytest.mark.parametrize(
    ("review", "code"),
    [
        (Review({}, verdict=PASSED), OK),
        (Review({}, verdict=FAILED), GATE_FAILED),
        (Review({}, ["a"], verdict=PASSED), DATA_FAILED),
        (Review({}, ["a"], verdict=FAILED), DATA_FAILED),
        (Review({}, problem="no"), DATA_FAILED),
        (Review({"gate": ["x"]}, ["a"], verdict=PASSED), STALE),
        (Review({"gate": ["x"]}, problem="no"), STALE),
    ],
)
def test_what_is_stale_or_cannot_be_had_is_never_a_verdict(review, code):
    assert review.code == code


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ({"min": 0.5}, {"min": 0.4}, "looser"),
        ({"min": 0.5}, {"min": 0.6}, "stricter"),
        ({"max": 1.0}, {"max": 2.0}, "looser"),
        ({"max": 1.0}, {"max": 0.5}, "stricter"),
        ({"max_worse_than_teacher": 0.0}, {"max_worse_than_teacher": 0.1}, "looser"),
        ({"max_worse_than_champion": 0.1}, {"max_worse_than_champion": -0.1}, "stricter"),
        ({"max": 1.0, "min": 0.0}, {"max": 1.0}, "looser"),
        ({"max": 1.0}, {"max": 1.0, "min": 0.0}, "stricter"),
        ({"max": 1.0, "clearly_better_than_baseline": True}, {"max": 1.0}, "looser"),
        ({"max": 1.0}, {"max": 1.0, "not_clearly_worse_than_teacher": True}, "stricter"),
        ({"max": 1.0}, {"max": "much"}, "looser"),
    ],
)
def test_whether_a_policy_asks_for_less(before, after, effect):
    (change,) = policy_changes({"gate": {MIOU: before}}, {"gate": {MIOU: after}})
    assert change.effect == effect and change.rule.startswith(f"{MIOU}.")


def test_a_metric_that_is_only_shown_from_now_on_is_a_bound_less():
    changes = policy_changes({"gate": {MIOU: {"min": 0.5}}}, {"gate": {MIOU: {"informational": True}}})
    assert {change.rule: change.effect for change in changes} == {
        f"{MIOU}.informational": "shown, never judged",
        f"{MIOU}.min": "looser",
    }


def test_the_policy_is_not_among_the_other_parameters():
    before, after = ({"gate": {MIOU: {"min": bound}}, "base": {"seed": bound}} for bound in (1, 2))
    assert other_changes(before, after) == [Change("base.seed", 1, 2)]
    assert [change.before for change in policy_changes({}, after)] == [None]


@pytest.fixture
def root(tmp_path):
    for name in (*STUDENT, DATASET, TEST_SPLIT, JUDGE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    write_json(tmp_path / EVALUATION, {
        "schema": 2, "kind": "labels", "models": {"student": {MIOU: {"value": 0.4, "n": 100}}},
        "collapse": {"student": None},
        "files": {name: sha256(tmp_path / name) for name in (*STUDENT, DATASET, TEST_SPLIT, JUDGE)},
    })  # fmt: skip
    (tmp_path / "params.yaml").write_text(f"gate:\n  {MIOU}: {{min: 0.3}}\n")
    write_json(tmp_path / PATH, {})
    return tmp_path


def test_a_verdict_is_believed_when_it_is_the_one_the_gate_makes(root):
    with pytest.raises(UserError, match=r"verdict\.json: not a verdict") as told:
        committed_verdict(root)
    assert told.value.code == DATA_FAILED
    made = judge(Gate({MIOU: {"min": 0.3}}, "params.yaml: gate"), *read_evaluation(root))
    write_json(root / PATH, made.plain())
    assert committed_verdict(root) == made and made.passed
    edited = json.loads((root / PATH).read_text())
    edited["rules"][0]["bound"] = 0.1
    write_json(root / PATH, edited)
    with pytest.raises(UserError, match="was it edited"):
        committed_verdict(root)


def test_an_evaluation_of_other_weights_is_not_judged(root):
    (root / STUDENT[1]).write_text("another student")
    with pytest.raises(UserError, match=STUDENT[1]):
        committed_verdict(root)


def test_what_could_not_be_brought_is_told_and_only_exports_that_there_are(root):
    assert absent_for_judging(root, {JUDGED[0]: "no parameters", FILES["onnx"]: "no file"}) == ["no parameters"]
    write_json(root / RECORD, {"models": {"onnx": {}}})
    assert absent_for_judging(root, {FILES["onnx"]: "not pushed", FILES["int8"]: "none"}) == ["not pushed"]
