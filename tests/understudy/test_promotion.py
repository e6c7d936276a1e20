from dataclasses import replace

import pytest

from understudy.gate import JUDGE, STUDENT, TEST_SPLIT
from understudy.metrics import protocol
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.promotion import Champion, decide, shippable
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


def champion(frechet, miou):
    return Champion("7", {FRECHET: frechet, MIOU: miou}, DATA, JUDGED_BY)


def test_first_student_skips_the_champion_and_says_so():
    decision = decide(VERDICT, GATE, FILES, EVALUATION, None)
    assert decision.promote
    assert "no champion yet" in decision.notes[0]
    unbound = replace(VERDICT, policy=UNBOUND.policy)
    assert decide(unbound, UNBOUND, FILES, EVALUATION, None).notes == ()


@pytest.mark.parametrize(
    ("frechet", "miou", "promoted"),
    [(0.95, 0.38, True), (0.9, 0.39, True), (0.89, 0.38, False), (0.95, 0.391, False), (0.8, 0.5, False)],
)
def test_champion_bounds(frechet, miou, promoted):
    decision = decide(VERDICT, GATE, FILES, EVALUATION, champion(frechet, miou))
    assert decision.promote is promoted
    assert len(decision.reasons) + len(decision.notes) == 2
    assert all("version 7" in said for said in (*decision.reasons, *decision.notes))


def test_failed_gate_is_refused_with_its_reasons():
    failed = replace(VERDICT, passed=False, rules=(Finding(FRECHET, "max", "failed", "3 is above 2"),))
    assert decide(failed, GATE, FILES, EVALUATION, None).reasons == ("the gate failed: 3 is above 2",)


def test_verdict_must_be_about_the_very_files():
    other = decide(VERDICT, GATE, {**FILES, STUDENT[1]: "c" * 64}, EVALUATION, None)
    assert not other.promote
    assert STUDENT[1] in other.reasons[0]
    unknown = decide(VERDICT, GATE, {**FILES, "artifacts/distill/more.json": "c" * 64}, EVALUATION, None)
    assert "more.json: the verdict does not speak of it" in unknown.reasons[0]
    stale = decide(VERDICT, GATE, FILES, "f" * 64, None)
    assert "another artifacts/evaluate/evaluation.json" in stale.reasons[0]


def test_champion_that_cannot_be_compared_is_a_refusal():
    without = decide(VERDICT, GATE, FILES, EVALUATION, Champion("7", {FRECHET: 1.0}, DATA, JUDGED_BY))
    assert not without.promote
    assert f"{MIOU}: the champion has no value" in without.reasons[0]
    for change, said in (
        ({"data_sha256": "9" * 64}, "on another test split (999999999999…"),
        ({"judge_sha256": "9" * 64}, "by another judge (999999999999…"),
        ({"data_sha256": "9" * 64, "judge_sha256": "unknown"}, "and by another judge (unknown…"),
    ):
        other = replace(champion(1.0, 0.3), **change)
        refused = decide(VERDICT, GATE, FILES, EVALUATION, other)
        assert not refused.promote
        assert said in refused.reasons[0]
        # Without a bound against it, how the champion was measured is nobody's concern.
        unbound = replace(VERDICT, policy=UNBOUND.policy)
        assert decide(unbound, UNBOUND, FILES, EVALUATION, other).promote


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        ({**POLICY, FRECHET: {"max": 1.9, "max_worse_than_champion": 0.1}}, [f"{FRECHET}.max"]),
        ({FRECHET: POLICY[FRECHET]}, [f"{MIOU}.max_worse_than_champion"]),
        ({**POLICY, MIOU: {"min": 0.3}}, [f"{MIOU}.min", f"{MIOU}.max_worse_than_champion"]),
    ],
)
def test_a_verdict_by_another_policy_is_refused(policy, rules):
    decision = decide(VERDICT, Gate(policy, "params.yaml: gate"), FILES, EVALUATION, None)
    assert not decision.promote
    assert "the policy has changed since the verdict" in decision.reasons[0]
    assert all(f"params.yaml: gate.{rule}" in decision.reasons[0] for rule in rules)
    reordered = dict(reversed(POLICY.items()))
    assert decide(VERDICT, Gate(reordered, "params.yaml: gate"), FILES, EVALUATION, None).promote


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
    assert decide(verdict, GATE, FILES, EVALUATION, None).promote
    assert shippable(VERDICT, {}) == ({}, ())
