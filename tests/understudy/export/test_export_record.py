"""What the gate makes of exported files: read, judged by the student's own policy, and kept apart from the student."""

import pytest

from understudy.errors import DATA_FAILED, UserError
from understudy.export.record import FILES, RECORD, read_record
from understudy.files import sha256, write_json
from understudy.gate import JUDGE, TEST_SPLIT, judge
from understudy.metrics import protocol
from understudy.metrics.protocol import MIOU
from understudy.params.export import Export
from understudy.params.gate import Gate
from understudy.params.loader import parse
from understudy.verdict import read_verdict, report

FRECHET = protocol.FRECHET["labels"]

ABOUT = "e" * 64  # the evaluation's SHA-256
POLICY = {
    MIOU: {"max_worse_than_teacher": 0.05, "clearly_better_than_baseline": True, "max_worse_than_champion": 0.01},
    FRECHET: {"informational": True},
    "file_mb": {"max": 1.0},
}
CLEAR = {MIOU: {"value": 0.1, "low": 0.05, "high": 0.15}}


def scored(miou, file_mb):
    return {MIOU: {"value": miou, "n": 100}, FRECHET: {"value": 1.0, "n": 100}, "file_mb": {"value": file_mb}}


def evaluation():
    return {
        "schema": 2,
        "kind": "labels",
        "feature_dims": 8,
        "models": {"teacher": scored(0.5, 5.0), "student": scored(0.48, 0.9), "baseline": scored(0.3, 0.9)},
        "differences": {"student_minus_baseline": CLEAR},
        "collapse": {"teacher": None, "student": None, "baseline": None},
        "files": {TEST_SPLIT: "d" * 64, JUDGE: "c" * 64},
    }


def record(root, **changes):
    """A record of two files that are there; onnx is as good as the student."""
    for file in FILES.values():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    value = {
        "schema": 1,
        "evaluation_sha256": ABOUT,
        "models": {"onnx": scored(0.48, 0.9), "int8": scored(0.47, 0.3)},
        "differences": {f"{name}_minus_baseline": CLEAR for name in FILES},
        "collapse": dict.fromkeys(FILES),
        "files": {file: sha256(root / file) for file in FILES.values()},
        **changes,
    }
    write_json(root / RECORD, value)
    return value


def verdict(root):
    return judge(Gate.parse(POLICY, "params.yaml: gate"), evaluation(), ABOUT, read_record(root, ABOUT))


def test_every_file_is_judged_by_the_students_rules(tmp_path):
    record(tmp_path)
    found = verdict(tmp_path)
    assert found.passed and {name: export.passed for name, export in found.exports.items()} == dict.fromkeys(
        FILES, True
    )
    int8 = found.exports["int8"]
    assert int8.metrics["file_mb"] == 0.3 and int8.sha256 == sha256(tmp_path / FILES["int8"])
    (teacher,) = [rule for rule in int8.rules if rule.rule == "max_worse_than_teacher"]
    assert f"{RECORD}: models.int8.{MIOU}" in teacher.message and teacher.value == 0.47 and teacher.reference == 0.5
    assert "evaluation.json: models.teacher" in teacher.message
    assert not [rule for rule in int8.rules if "champion" in rule.rule]  # the student alone becomes champion


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": {"onnx": scored(0.48, 0.9), "int8": scored(0.44, 0.3)}}, "0.06 worse than the teacher's"),
        ({"models": {"onnx": scored(0.48, 0.9), "int8": scored(0.47, 1.3)}}, "1.3 is above the most allowed"),
        ({"models": {"onnx": scored(0.48, 0.9), "int8": {}}}, f"no {RECORD}: models.int8.{MIOU}; docs/export.md"),
        ({"differences": {"onnx_minus_baseline": CLEAR}}, "differences.int8_minus_baseline"),
        ({"collapse": {"onnx": None, "int8": "constant output"}}, "the int8 has collapsed: constant output"),
        ({"collapse": {"onnx": None}}, "the int8 was not checked"),
    ],
)
def test_a_file_that_fails_fails_nobody_else(changes, said, tmp_path):
    record(tmp_path, **changes)
    found = verdict(tmp_path)
    assert found.passed and found.exports["onnx"].passed and not found.exports["int8"].passed
    assert said in " ".join(found.exports["int8"].failures())
    assert "export int8: FAILED" in report(found) and said in report(found)
    assert found.failures() == []


def test_what_no_network_was_named_for_says_where_one_is(tmp_path):
    record(tmp_path)
    gate = Gate.parse({"fid_inception2015_bilinear299_test": {"max": 60.0}}, "params.yaml: gate")
    (failure,) = judge(gate, evaluation(), ABOUT, read_record(tmp_path, ABOUT)).exports["onnx"].failures()
    assert "no artifacts/export/export.json: models.onnx.fid" in failure and "evaluate.inception in the" in failure


def test_the_verdict_on_files_survives_its_own_file(tmp_path):
    record(tmp_path)
    found = verdict(tmp_path)
    write_json(tmp_path / "verdict.json", found.plain())
    assert read_verdict(tmp_path / "verdict.json") == found
    for change in ({"schema": 1}, {"exports": {"int8": {**found.plain()["exports"]["int8"], "passed": False}}}):
        write_json(tmp_path / "verdict.json", found.plain() | change)
        with pytest.raises(UserError, match=r"not a verdict .*dvc repro gate"):
            read_verdict(tmp_path / "verdict.json")


def test_where_nothing_was_exported_nothing_is_said(tmp_path):
    assert read_record(tmp_path, ABOUT) == {} and verdict(tmp_path).exports == {}
    record(tmp_path, models={}, files={}, collapse={})
    assert verdict(tmp_path).exports == {}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda root: (root / FILES["int8"]).write_text("another"), "student-int8.onnx"),
        (lambda root: (root / FILES["onnx"]).unlink(), "student.onnx"),
        (lambda root: (root / RECORD).write_text("{half"), "export.json"),
        (lambda root: write_json(root / RECORD, {"schema": 0}), "not a record of schema 1"),
        (lambda root: record(root, evaluation_sha256="f" * 64), "is about another evaluation"),
        (lambda root: record(root, models={"tflite": {}}), "tflite"),
    ],
)
def test_what_is_damaged_or_of_another_run_is_named(damage, named, tmp_path):
    record(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=r"dvc repro export") as error:
        read_record(tmp_path, ABOUT)
    assert named in str(error.value) and error.value.code == DATA_FAILED


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"formats": ["int8"], "calibration_images": 8}, "int8 is made from onnx"),
        ({"formats": ["onnx", "onnx"], "calibration_images": 8}, "names one twice"),
        ({"formats": ["onnx"], "calibration_images": 0}, "calibration_images: must be positive"),
        ({"formats": ["tflite"], "calibration_images": 8}, "expected one of onnx, int8"),
    ],
)
def test_bad_parameters_are_named(values, named):
    assert parse(Export, {"formats": [], "calibration_images": 8}, "export").formats == ()
    with pytest.raises(UserError, match=named):
        parse(Export, values, "export")
