from dataclasses import replace

import pytest

from understudy.gate import JUDGE, STUDENT, TEST_SPLIT
from understudy.metrics import protocol
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.promotion import PEAK, against, eligible, evaluation_not_reproduced, invented, not_reproduced, shippable
from understudy.verdict import ExportVerdict, Finding, Verdict

FRECHET = protocol.FRECHET["labels"]

FILES = {STUDENT[0]: "a" * 64, STUDENT[1]: "b" * 64}
DATA, JUDGED_BY, EVALUATION = "d" * 64, "c" * 64, "e" * 64
POLICY = {FRECHET: {"max": 2.0, "max_worse_than_champion": 0.1}, MIOU: {"max_worse_than_champion": -0.01}}
GATE = Gate(POLICY, "params.yaml: gate")
UNBOUND = Gate({FRECHET: {"max": 2.0}}, "params.yaml: gate")
VERDICT = Verdict(
    passed=True,
    rules=(Finding(FRECHET, "max", "passed", "fine"),),
    policy=POLICY,
    metrics={FRECHET: 1.0, MIOU: 0.40},
    evaluation_sha256=EVALUATION,
    data_sha256=DATA,
    judge_sha256=JUDGED_BY,
    files={**FILES, TEST_SPLIT: DATA, JUDGE: JUDGED_BY},
)


def measured(frechet: float, miou: float, student: tuple[float, float] = (1.0, 0.40)) -> dict:
    """Student and champion, measured anew."""
    values = {"student": student, "champion": (frechet, miou)}
    models = {
        name: {
            FRECHET: {"value": pair[0], "low": pair[0] - 0.1, "high": pair[0] + 0.1, "n": 100},
            MIOU: {"value": pair[1], "n": 100},
        }
        for name, pair in values.items()
    }
    differences = {
        FRECHET: {"low": student[0] - frechet - 0.05, "high": student[0] - frechet + 0.05},
        MIOU: {"low": student[1] - miou - 0.05, "high": student[1] - miou + 0.05},
    }
    return {"told": "measured anew", "kind": "labels", "feature_dims": 8, "models": models,
            "differences": {"student_minus_champion": differences},
            "collapse": {"student": None, "champion": None}}  # fmt: skip


WRITTEN = {"models": {"student": {FRECHET: {"value": 1.0, "low": 0.9, "high": 1.1}, MIOU: {"value": 0.40}}}}


@pytest.mark.parametrize(
    ("frechet", "miou", "promoted"),
    [(0.95, 0.38, True), (0.9, 0.39, True), (0.89, 0.38, False), (0.95, 0.391, False), (0.8, 0.5, False)],
)
def test_champion_bounds(frechet, miou, promoted):
    decision = against(GATE, WRITTEN, measured(frechet, miou))
    assert decision.promote is promoted
    assert len(decision.reasons) + len(decision.notes) == len(decision.findings) == 2
    assert all("measured anew: models.champion" in said for said in (*decision.reasons, *decision.notes))


def test_a_clear_difference_to_the_champion_can_be_asked_for():
    clearly = Gate({**POLICY, FRECHET: {"max": 2.0, "clearly_better_than_champion": True}}, "params.yaml: gate")
    assert against(clearly, WRITTEN, measured(1.06, 0.3)).promote
    assert not against(clearly, WRITTEN, measured(1.04, 0.3)).promote


def test_a_collapsed_or_unmeasured_champion_is_no_reference():
    gone = measured(2.0, 0.1)
    gone["collapse"]["champion"] = "every image is the same"
    assert "the champion has collapsed" in against(GATE, WRITTEN, gone).reasons[0]
    missing = measured(2.0, 0.1)
    del missing["models"]["champion"][MIOU]
    (reason,) = against(GATE, WRITTEN, missing).reasons
    assert f"{MIOU}: the champion's value is missing" in reason


def test_an_evaluation_that_does_not_come_out_again_is_refused():
    # A tenth of the interval's 0.2; without an interval, to the last digit.
    assert against(GATE, WRITTEN, measured(1.5, 0.3, (1.019, 0.40))).promote
    (reason,) = against(GATE, WRITTEN, measured(1.5, 0.3, (1.021, 0.40))).reasons
    assert f"does not come out again: {FRECHET} was 1 and is 1.021" in reason
    assert not against(GATE, WRITTEN, measured(1.5, 0.3, (1.0, 0.401))).promote
    # Other metrics may be asked for by now.
    assert not_reproduced({FRECHET: {"value": 1.0}}, {MIOU: {"value": 0.4}}) == []


def test_an_invented_interval_makes_nothing_come_out_again():
    now = {MIOU: {"value": 0.40, "low": 0.38, "high": 0.42}}
    for forged in ({"value": 0.86, "low": -10.0, "high": 10.0}, {"value": 0.40, "low": 0.0, "high": 0.42}):
        assert not_reproduced({MIOU: forged}, now), forged
    assert not_reproduced({MIOU: {"value": "0.86"}}, now) == [f"{MIOU} was '0.86' and is 0.4"]
    for then, said in ((10.4, 0), (11.0, 1)):  # by another release of torch, and invented
        assert len(not_reproduced({PEAK: {"value": then}}, {PEAK: {"value": 10.0}})) == said
    # Of more resamples by now.
    assert not_reproduced({MIOU: {"value": 0.403, "low": 0.385, "high": 0.425}}, now) == []


def test_teacher_differences_and_collapse_must_come_out_again_too():
    now = {"models": {"student": {MIOU: {"value": 0.4}}, "teacher": {MIOU: {"value": 0.5}}},
           "differences": {"student_minus_teacher": {MIOU: {"value": -0.1, "low": -0.12, "high": -0.08}}},
           "collapse": {"student": None, "teacher": None}}  # fmt: skip
    assert evaluation_not_reproduced(now, now) == []
    forged = {"models": now["models"] | {"teacher": {MIOU: {"value": 0.4}}},
              "differences": {"student_minus_teacher": {MIOU: {"value": -0.1, "low": -0.12, "high": 0.01}}},
              "collapse": {"student": None}}  # fmt: skip
    collapsed = now | {"collapse": {"student": "one colour", "teacher": None}}
    assert evaluation_not_reproduced(forged, collapsed) == [
        f"the teacher's {MIOU} was 0.4 and is 0.5",
        f"the difference student_minus_teacher of {MIOU}, the high end of its interval, was 0.01 and is -0.08",
        "the student has collapsed: one colour",
    ]


def test_numbers_of_a_decision_that_are_not_the_models_own_are_told():
    own = {"student": {MIOU: {"value": 0.4, "low": 0.3, "high": 0.5}}, "champion": {MIOU: {"value": 0.45}}}
    decided = {"measured": {"models": {"student": {MIOU: {"value": 0.41}}, "champion": {MIOU: {"value": 0.44}}}}}
    assert invented(decided, own) == [] and invented({"measured": {}}, own) == []
    decided["measured"]["models"]["champion"][MIOU] = {"value": 0.3, "low": -9.0, "high": 9.0}
    assert invented(decided, own) == [f"by its decision the champion's {MIOU} was 0.3, by its own evaluation 0.45"]


def test_failed_gate_is_refused_with_its_reasons():
    failed = replace(VERDICT, passed=False, rules=(Finding(FRECHET, "max", "failed", "3 is above 2"),))
    assert eligible(failed, None, GATE, FILES, EVALUATION).reasons == ("the gate failed: 3 is above 2",)


def test_verdict_must_be_about_the_very_files():
    other = eligible(VERDICT, None, GATE, {**FILES, STUDENT[1]: "c" * 64}, EVALUATION)
    assert not other.promote
    assert STUDENT[1] in other.reasons[0]
    unknown = eligible(VERDICT, None, GATE, {**FILES, "artifacts/distill/more.json": "c" * 64}, EVALUATION)
    assert "more.json: the verdict does not speak of it" in unknown.reasons[0]
    stale = eligible(VERDICT, None, GATE, FILES, "f" * 64)
    assert "another artifacts/evaluate/evaluation.json" in stale.reasons[0]


def test_a_verdict_that_is_doubted_is_refused():
    assert eligible(VERDICT, "the gate says otherwise", GATE, FILES, EVALUATION).reasons == ("the gate says otherwise",)


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        ({**POLICY, FRECHET: {"max": 1.9, "max_worse_than_champion": 0.1}}, [f"{FRECHET}.max"]),
        ({FRECHET: POLICY[FRECHET]}, [f"{MIOU}.max_worse_than_champion"]),
        ({**POLICY, MIOU: {"min": 0.3}}, [f"{MIOU}.min", f"{MIOU}.max_worse_than_champion"]),
    ],
)
def test_a_verdict_by_another_policy_is_refused(policy, rules):
    decision = eligible(VERDICT, None, Gate(policy, "params.yaml: gate"), FILES, EVALUATION)
    assert not decision.promote
    assert "the policy has changed since the verdict" in decision.reasons[0]
    assert all(f"params.yaml: gate.{rule}" in decision.reasons[0] for rule in rules)
    reordered = dict(reversed(POLICY.items()))
    assert eligible(VERDICT, None, Gate(reordered, "params.yaml: gate"), FILES, EVALUATION).promote


def export(name, passed=True):
    rules = (Finding(FRECHET, "max", "passed" if passed else "failed", "9 is above 2"),)
    return ExportVerdict(passed, rules, {FRECHET: 9.0}, f"artifacts/export/{name}", "a" * 64)


def test_only_exported_files_that_passed_and_are_the_same_go_along():
    verdict = replace(VERDICT, exports={"onnx": export("student.onnx"), "int8": export("student-int8.onnx", False)})
    files = {entry.file: "a" * 64 for entry in verdict.exports.values()}
    kept, notes = shippable(verdict, files)
    assert kept == {"onnx": "artifacts/export/student.onnx"}
    assert notes == ("export int8 is not registered: 9 is above 2",)
    for other in ({}, {"artifacts/export/student.onnx": "b" * 64}):
        kept, notes = shippable(verdict, other)
        assert kept == {} and "student.onnx is not the file that was judged" in notes[0]
    # None of this is a matter of the student's.
    assert eligible(verdict, None, GATE, FILES, EVALUATION).promote
    assert shippable(VERDICT, {}) == ({}, ())
