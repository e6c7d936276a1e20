import json
import math
from dataclasses import asdict

import pytest

from understudy.errors import DATA_FAILED, UserError
from understudy.files import sha256, write_json
from understudy.gate import DATASET, EVALUATION, JUDGE, STUDENT, TEST_SPLIT, judge, read_evaluation
from understudy.metrics import protocol
from understudy.metrics.protocol import L1_TO_TEACHER, MIOU
from understudy.params.gate import Gate
from understudy.verdict import Finding, read_verdict, report

FRECHET, KID = protocol.FRECHET["labels"], protocol.KID["labels"]

MACS = "macs_true_g"
RECORDED = (*STUDENT, DATASET, TEST_SPLIT, JUDGE)


def evaluation(**changes):
    """An evaluation with a student between its teacher and the baseline."""
    models = {
        "student": {MIOU: {"value": 0.40, "n": 100}, FRECHET: {"value": 1.0, "n": 100}, MACS: {"value": 0.05}},
        "teacher": {MIOU: {"value": 0.42, "n": 100}, FRECHET: {"value": 0.9, "n": 100}, MACS: {"value": 0.5}},
        "baseline": {MIOU: {"value": 0.30, "n": 100}, FRECHET: {"value": 1.5, "n": 100}, MACS: {"value": 0.05}},
    }
    return {
        "schema": 2,
        "kind": "labels",
        "feature_dims": 40,
        "models": models,
        "differences": {"student_minus_teacher": {MIOU: {"value": -0.02, "low": -0.05, "high": 0.01}}},
        "collapse": {"teacher": None, "student": None, "baseline": None},
        "files": dict.fromkeys(RECORDED, "0" * 64),
        **changes,
    }


def found(policy, value=None):
    """The verdict on a policy, and the last finding."""
    verdict = judge(Gate.parse(policy, "params.yaml: gate"), value or evaluation(), "e" * 64)
    return verdict, verdict.rules[-1]


@pytest.mark.parametrize(
    ("metric", "rule", "bound", "passes"),
    [
        (MIOU, "min", 0.40, True),
        (MIOU, "min", 0.41, False),
        (FRECHET, "max", 1.0, True),
        (FRECHET, "max", 0.99, False),
        # 0.42 - 0.40 is a hair above 0.02 in floating point.
        (MIOU, "max_worse_than_teacher", 0.02, True),
        (MIOU, "max_worse_than_teacher", 0.019, False),
        (FRECHET, "max_worse_than_teacher", 0.1, True),
        (FRECHET, "max_worse_than_teacher", 0.05, False),
        # A negative bound asks for an improvement, in the metric's own direction.
        (MIOU, "max_worse_than_baseline", -0.10, True),
        (MIOU, "max_worse_than_baseline", -0.11, False),
        (FRECHET, "max_worse_than_baseline", -0.5, True),
        (FRECHET, "max_worse_than_baseline", -0.51, False),
        (MACS, "max_worse_than_teacher", -0.45, True),
        (MACS, "max_worse_than_teacher", -0.46, False),
    ],
)
def test_rules(metric, rule, bound, passes):
    verdict, finding = found({metric: {rule: bound}})
    assert verdict.passed is passes
    assert finding.outcome == ("passed" if passes else "failed")
    assert (finding.metric, finding.rule, finding.bound) == (metric, rule, bound)


def test_message_names_metric_value_bound_and_sources():
    _, finding = found({MIOU: {"max_worse_than_teacher": 0.01}})
    assert finding.interval == (-0.05, 0.01)
    for part in (MIOU, "0.4 is 0.02 worse", "teacher's 0.42", "-0.05 to 0.01", "at most 0.01 worse is allowed",
                 f"{EVALUATION}: models.student.{MIOU}", f"{EVALUATION}: models.teacher.{MIOU}",
                 f"params.yaml: gate.{MIOU}.max_worse_than_teacher"):  # fmt: skip
        assert part in finding.message


def test_champion_bound_is_left_to_promotion_and_informational_never_fails():
    verdict, finding = found({FRECHET: {"max": 2, "max_worse_than_champion": 0.1}})
    assert verdict.passed
    assert finding.outcome == "left to promotion"
    verdict, finding = found({FRECHET: {"max": 2}, KID: {"informational": True}})
    assert verdict.passed
    assert "missing" in finding.message
    verdict, finding = found({FRECHET: {"max": 2}, KID: {"max_worse_than_champion": 0.1}})
    assert not verdict.passed


@pytest.mark.parametrize(
    ("metric", "interval", "better", "not_worse"),
    [
        (MIOU, (0.01, 0.05), True, True),
        (MIOU, (0.0, 0.05), False, True),  # zero is no difference
        (MIOU, (-0.02, 0.05), False, True),
        (MIOU, (-0.05, 0.0), False, True),
        (MIOU, (-0.05, -0.01), False, False),
        (FRECHET, (-0.5, -0.1), True, True),
        (FRECHET, (-0.5, 0.0), False, True),
        (FRECHET, (-0.1, 0.5), False, True),
        (FRECHET, (0.0, 0.5), False, True),
        (FRECHET, (0.1, 0.5), False, False),
    ],
)
@pytest.mark.parametrize("other", ["teacher", "baseline"])
def test_rules_on_the_interval_of_a_difference(metric, interval, better, not_worse, other):
    difference = {metric: {"value": sum(interval) / 2, "low": interval[0], "high": interval[1]}}
    value = evaluation(differences={f"student_minus_{other}": difference})
    for rule, passes in ((f"clearly_better_than_{other}", better), (f"not_clearly_worse_than_{other}", not_worse)):
        verdict, finding = found({metric: {rule: True}}, value)
        assert verdict.passed is passes
        assert (finding.rule, finding.bound, finding.interval) == (rule, None, interval)
        assert f"difference {interval[0]:.4g} to {interval[1]:.4g} at 95 %; " in finding.message
        assert f"params.yaml: gate.{metric}.{rule}" in finding.message


@pytest.mark.parametrize(
    "difference", [None, {"value": 0.1}, {"low": 0.1, "high": math.nan}, {"low": 0.2, "high": 0.1}]
)
@pytest.mark.parametrize("rule", ["clearly_better_than_baseline", "not_clearly_worse_than_baseline"])
def test_a_difference_without_interval_is_not_clear(difference, rule):
    differences = {} if difference is None else {"student_minus_baseline": {MIOU: difference}}
    verdict, finding = found({MIOU: {rule: True}}, evaluation(differences=differences))
    assert not verdict.passed
    assert f"({EVALUATION}: differences.student_minus_baseline.{MIOU})" in finding.message
    assert finding.bound is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.9", True])
@pytest.mark.parametrize("rule", [{"min": 0.0}, {"max": 1e9}])
def test_what_is_no_number_fails(value, rule):
    broken = evaluation()
    broken["models"]["student"][MIOU]["value"] = value
    verdict, finding = found({MIOU: rule}, broken)
    assert not verdict.passed
    assert "not a finite number" in finding.message
    assert MIOU not in verdict.metrics
    broken = evaluation()
    broken["models"]["teacher"][MIOU]["value"] = value
    assert not found({MIOU: {"max_worse_than_teacher": 1.0}}, broken)[0].passed


def test_what_is_missing_fails_by_name():
    assert "no artifacts/evaluate/evaluation.json: models.student.kid" in found({KID: {"max": 1}})[1].message
    without = evaluation()
    del without["models"]["baseline"]
    verdict, finding = found({MIOU: {"max_worse_than_baseline": 1.0}}, without)
    assert not verdict.passed
    assert "the baseline's value is missing" in finding.message
    assert not found({MIOU: {"min": 0}}, evaluation(collapse={}))[0].passed


def test_metrics_by_inception_are_judged_and_named_when_they_were_not_scored():
    fid, kid = "fid_inception2015_bilinear299_test", "kid_inception0123abcd_antialias299_test"
    value = evaluation()
    value["models"]["student"] |= {fid: {"value": 60.0, "n": 100}, kid: {"value": -0.001, "n": 100}}
    assert found({fid: {"max": 61}, kid: {"max": 0}}, value)[0].passed  # fewer images than features are published too
    verdict, finding = found({fid: {"max_worse_than_teacher": 3}}, value)
    assert not verdict.passed
    assert f"no artifacts/evaluate/evaluation.json: models.teacher.{fid}" in finding.message
    assert "evaluate.inception in the parameters says which" in finding.message


def test_metrics_by_a_segmentation_network_are_judged_and_named_when_they_were_not_scored():
    miou = "miou_onnx0123abcd_89abcdef_bilinear512x1024_original_test"
    value = evaluation()
    value["models"]["student"][miou] = {"value": 0.42, "n": 100}
    value["models"]["teacher"][miou] = {"value": 0.45, "n": 100}
    assert found({miou: {"min": 0.42, "max_worse_than_teacher": 0.03}}, value)[0].passed
    assert not found({miou: {"max_worse_than_teacher": 0.02}}, value)[0].passed
    value["models"]["student"][miou]["value"] = 42  # per cent
    assert "impossible" in found({miou: {"min": 0.4}}, value)[1].message
    verdict, finding = found({miou: {"max_worse_than_baseline": 0}}, evaluation())
    assert not verdict.passed
    assert "evaluate.segmentation in the parameters says by which network" in finding.message


def test_impossible_values_fail():
    broken = evaluation()
    broken["models"]["student"][MIOU]["value"] = 1.2
    assert "impossible" in found({MIOU: {"min": 0.5}}, broken)[1].message
    broken["models"]["student"][MACS]["value"] = -1
    assert not found({MACS: {"max": 0.5}}, broken)[0].passed


def test_too_few_samples_fail():
    few = evaluation()
    few["models"]["student"][FRECHET]["n"] = 79  # 2 x 40 features
    assert "79 samples, 80 are needed" in found({FRECHET: {"max": 2}}, few)[1].message
    few["models"]["student"][FRECHET]["n"] = 80
    assert found({FRECHET: {"max": 2}}, few)[0].passed
    few["models"]["teacher"][FRECHET]["n"] = 79
    assert not found({FRECHET: {"max_worse_than_teacher": 2}}, few)[0].passed
    del few["models"]["student"][MIOU]["n"]
    assert not found({MIOU: {"min": 0}}, few)[0].passed
    assert "feature_dims" in found({FRECHET: {"max": 2}}, evaluation(feature_dims=None))[1].message


def test_collapse_fails():
    collapsed = evaluation(collapse={"student": "constant output", "teacher": None})
    verdict, _ = found({MIOU: {"min": 0}}, collapsed)
    assert not verdict.passed
    assert "the student has collapsed: constant output" in verdict.failures()[0]


@pytest.mark.parametrize(
    ("model", "policy", "passes"),
    [
        ("baseline", {MIOU: {"min": 0}}, True),
        ("teacher", {MIOU: {"min": 0}}, True),
        ("baseline", {MIOU: {"max_worse_than_teacher": 1}, L1_TO_TEACHER: {"informational": True}}, True),
        ("teacher", {MIOU: {"max_worse_than_baseline": 1}, L1_TO_TEACHER: {"informational": True}}, True),
        ("baseline", {MIOU: {"max_worse_than_baseline": 1}}, False),
        ("teacher", {MIOU: {"not_clearly_worse_than_teacher": True}}, False),
        ("teacher", {MIOU: {"min": 0}, L1_TO_TEACHER: {"max": 1}}, False),
    ],
)
def test_another_model_s_collapse_fails_what_is_compared_with_it(model, policy, passes):
    collapsed = evaluation(collapse={"student": None, model: "constant output"})
    collapsed["models"]["student"][L1_TO_TEACHER] = {"value": 0.1, "n": 100}
    verdict, _ = found(policy, collapsed)
    assert verdict.passed is passes
    said = next(finding for finding in verdict.rules if finding.metric == "collapse")
    assert said.outcome == ("informational" if passes else "failed")
    assert f"the {model} has collapsed: constant output" in said.message


@pytest.mark.parametrize(
    ("section", "named"),
    [
        (None, "gate: expected a mapping with at least one metric"),
        ({}, "gate: expected a mapping with at least one metric"),
        ({"fid": {"max": 1}}, "gate: unknown metric fid; known metrics: miou"),
        ({"fid_segmenter_noresize_test": {"max": 1}}, "and those by Inception or an ONNX file in docs"),
        ({MIOU: {}}, f"gate.{MIOU}: expected a mapping with at least one rule"),
        ({MIOU: 0.4}, f"gate.{MIOU}: expected a mapping"),
        ({MIOU: {"least": 0.4}}, f"gate.{MIOU}: unknown rule least; known rules: min, max"),
        ({MIOU: {"min": math.nan}}, f"gate.{MIOU}.min: expected a finite number"),
        ({MIOU: {"min": True}}, f"gate.{MIOU}.min: expected a finite number"),
        ({MIOU: {"informational": False}}, f"gate.{MIOU}.informational: expected true"),
        ({MIOU: {"informational": True, "min": 0}}, "informational is never judged"),
        ({MIOU: {"clearly_better_than_teacher": 0.1}}, f"gate.{MIOU}.clearly_better_than_teacher: expected true"),
        (
            {MIOU: {"clearly_better_than_champion": 1}},
            f"gate.{MIOU}.clearly_better_than_champion: expected true, found 1",
        ),
        ({MACS: {"not_clearly_worse_than_teacher": True}}, f"gate.{MACS}.not_clearly_worse_than_teacher: {MACS} is"),
        # A gate that no student can fail is none.
        ({MIOU: {"informational": True}, MACS: {"informational": True}}, "gate: no rule that a student can fail here"),
        ({MIOU: {"max_worse_than_champion": 0.1}}, "gate: no rule that a student can fail here"),
    ],
)
def test_policy_errors_are_named(section, named):
    with pytest.raises(UserError) as error:
        Gate.parse(section, "params.yaml: gate")
    assert str(error.value).startswith("params.yaml: gate")
    assert named in str(error.value)


def test_verdict_survives_its_file_and_reads_well(tmp_path):
    verdict, _ = found({MIOU: {"max_worse_than_teacher": 0.01, "min": 0.1}, KID: {"informational": True}})
    write_json(tmp_path / "verdict.json", verdict.plain())
    assert read_verdict(tmp_path / "verdict.json") == verdict
    lines = report(verdict).splitlines()
    assert lines[0] == "gate: FAILED (1 failed, 1 passed, 1 informational)"
    assert [line.split()[0] for line in lines[1::2]] == ["failed", "passed", "informational"]
    assert all(line.strip().startswith("[value: ") for line in lines[2::2])


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 1},
        {"exports": None},
        {"passed": False},
        {"passed": "yes"},
        {"rules": []},
        {"rules": [asdict(Finding(MIOU, "informational", "informational", "nothing was judged"))]},
        {"rules": [{"metric": "x"}]},
        {"files": None},
    ],
)
def test_damaged_verdict_is_refused(tmp_path, change):
    verdict, _ = found({MIOU: {"min": 0.1}})
    value = {**verdict.plain(), **change}
    if change == {"files": None}:
        del value["files"]
    write_json(tmp_path / "verdict.json", value)
    with pytest.raises(UserError, match="not a verdict") as error:
        read_verdict(tmp_path / "verdict.json")
    assert error.value.code == DATA_FAILED


def test_unreadable_verdict_is_refused(tmp_path):
    (tmp_path / "verdict.json").write_text('{"schema": 1, "pass')
    for name in ("verdict.json", "nothing.json"):
        with pytest.raises(UserError) as error:
            read_verdict(tmp_path / name)
        assert error.value.code == DATA_FAILED


def test_evaluation_must_speak_of_the_files_at_hand(tmp_path):
    for name in (*STUDENT, DATASET, TEST_SPLIT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    value = evaluation(files={name: sha256(tmp_path / name) for name in (*STUDENT, DATASET, TEST_SPLIT)})
    value["files"][JUDGE] = "0" * 64  # DVC does not pull what the gate does not read
    write_json(tmp_path / EVALUATION, value)
    read, digest = read_evaluation(tmp_path)
    assert read == json.loads(json.dumps(value))
    assert digest == sha256(tmp_path / EVALUATION)

    (tmp_path / STUDENT[1]).write_text("a new student")
    (tmp_path / TEST_SPLIT).unlink()
    with pytest.raises(UserError) as stale:
        read_evaluation(tmp_path)
    assert stale.value.code == DATA_FAILED
    assert f"{STUDENT[1]}: has SHA-256" in str(stale.value)
    assert f"{TEST_SPLIT}: missing" in str(stale.value)

    teacher = "artifacts/teacher/weights.safetensors"
    (tmp_path / STUDENT[1]).write_text(STUDENT[1])
    (tmp_path / TEST_SPLIT).write_text(TEST_SPLIT)
    value["files"][teacher] = "0" * 64
    write_json(tmp_path / EVALUATION, value)
    read_evaluation(tmp_path)  # what is not needed may be absent, but not another
    (tmp_path / teacher).parent.mkdir()
    (tmp_path / teacher).write_text("another teacher")
    with pytest.raises(UserError, match=f"{teacher}: has SHA-256"):
        read_evaluation(tmp_path)

    for name in (DATASET, JUDGE):
        without = {**value, "files": {other: value["files"][other] for other in value["files"] if other != name}}
        write_json(tmp_path / EVALUATION, without)
        with pytest.raises(UserError, match=f"{name}: not recorded"):
            read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("kind", "policy", "wrong"),
    [
        ("unpaired", {MIOU: {"min": 0.1}, MACS: {"max": 1}}, MIOU),
        ("photos", {MACS: {"max": 1}, protocol.TARGET_SHARE: {"informational": True}}, protocol.TARGET_SHARE),
        ("labels", {protocol.FRECHET["photos"]: {"max": 1}}, protocol.FRECHET["photos"]),
    ],
)
def test_a_metric_of_another_kind_of_data_is_an_error_that_names_what_there_is(kind, policy, wrong):
    with pytest.raises(UserError) as error:
        found(policy, evaluation(kind=kind))
    assert str(error.value).startswith(f"params.yaml: gate: {wrong} cannot be had of data of kind {kind}")
    assert all(metric.name in str(error.value) for metric in protocol.JUDGED[kind]) and error.value.code != DATA_FAILED


def test_metrics_that_every_kind_has_are_judged_of_every_kind():
    for kind in protocol.JUDGES:
        assert found({MACS: {"max": 1}, L1_TO_TEACHER: {"informational": True}}, evaluation(kind=kind))[0].passed
