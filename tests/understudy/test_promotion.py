from dataclasses import replace

import pytest

from understudy.gate import STUDENT, TEST_SPLIT
from understudy.metrics.protocol import FRECHET, MIOU
from understudy.promotion import Champion, decide
from understudy.verdict import Finding, Verdict

FILES = {STUDENT[0]: "a" * 64, STUDENT[1]: "b" * 64}
DATA, EVALUATION = "d" * 64, "e" * 64
VERDICT = Verdict(
    passed=True,
    rules=(Finding(FRECHET, "max", "passed", "fine"),),
    policy={FRECHET: {"max": 2.0, "max_worse_than_champion": 0.1}, MIOU: {"max_worse_than_champion": -0.01}},
    metrics={FRECHET: 1.0, MIOU: 0.40},
    evaluation_sha256=EVALUATION,
    data_sha256=DATA,
    files={**FILES, TEST_SPLIT: DATA},
)


def champion(frechet, miou):
    return Champion("7", {FRECHET: frechet, MIOU: miou}, DATA)


def test_first_student_skips_the_champion_and_says_so():
    decision = decide(VERDICT, FILES, EVALUATION, None)
    assert decision.promote
    assert "no champion yet" in decision.notes[0]
    unbound = replace(VERDICT, policy={FRECHET: {"max": 2.0}})
    assert decide(unbound, FILES, EVALUATION, None).notes == ()


@pytest.mark.parametrize(
    ("frechet", "miou", "promoted"),
    [(0.95, 0.38, True), (0.9, 0.39, True), (0.89, 0.38, False), (0.95, 0.391, False), (0.8, 0.5, False)],
)
def test_champion_bounds(frechet, miou, promoted):
    decision = decide(VERDICT, FILES, EVALUATION, champion(frechet, miou))
    assert decision.promote is promoted
    assert len(decision.reasons) + len(decision.notes) == 2
    assert all("version 7" in said for said in (*decision.reasons, *decision.notes))


def test_failed_gate_is_refused_with_its_reasons():
    failed = replace(VERDICT, passed=False, rules=(Finding(FRECHET, "max", "failed", "3 is above 2"),))
    assert decide(failed, FILES, EVALUATION, None).reasons == ("the gate failed: 3 is above 2",)


def test_verdict_must_be_about_the_very_files():
    other = decide(VERDICT, {**FILES, STUDENT[1]: "c" * 64}, EVALUATION, None)
    assert not other.promote
    assert STUDENT[1] in other.reasons[0]
    unknown = decide(VERDICT, {**FILES, "artifacts/distill/more.json": "c" * 64}, EVALUATION, None)
    assert "more.json: the verdict does not speak of it" in unknown.reasons[0]
    stale = decide(VERDICT, FILES, "f" * 64, None)
    assert "another artifacts/evaluate/evaluation.json" in stale.reasons[0]


def test_champion_that_cannot_be_compared_is_a_refusal():
    without = decide(VERDICT, FILES, EVALUATION, Champion("7", {FRECHET: 1.0}, DATA))
    assert not without.promote
    assert f"{MIOU}: the champion has no value" in without.reasons[0]
    elsewhere = decide(VERDICT, FILES, EVALUATION, replace(champion(1.0, 0.3), data_sha256="9" * 64))
    assert not elsewhere.promote
    assert "another test split" in elsewhere.reasons[0]
    # Without a bound against it, the champion's data are nobody's concern.
    unbound = replace(VERDICT, policy={FRECHET: {"max": 2.0}})
    assert decide(unbound, FILES, EVALUATION, replace(champion(1.0, 0.3), data_sha256="9" * 64)).promote
