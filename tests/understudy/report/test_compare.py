from pathlib import Path

import pytest
from finished_run import STUDENT, finished_run, lock, write_evaluation

from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.gate import EVALUATION
from understudy.report.compare import METRICS_FILE, Other, compare
from understudy.report.gather import Run
from understudy.report.page import side_by_side
from understudy.report.samples import draw_samples


@pytest.fixture
def before(tmp_path):
    return finished_run(tmp_path / "before", output_weight=10.0, seed=1)


@pytest.fixture
def after(tmp_path):
    root = finished_run(tmp_path / "after")
    write_evaluation(root, miou=0.65)
    return root


def other(root: Path, **absent: str) -> Other:
    return Other("HEAD~1", "0" * 40, root, absent)


def rows(table):
    return {row[0]: row[1:] for row in table.rows}


def test_metrics_stand_beside_each_other_with_their_difference(before, after):
    found = compare(Run(after), other(before))
    student = rows(found.metrics[1])
    assert student["miou"] == ("0.600 [0.590, 0.610]", "0.650 [0.640, 0.660]", "+0.05 better")
    assert student["frechet distance"][2] == "-0.05 better" and student["kid"][2] == "0"
    assert rows(found.metrics[0])["miou"][2] == "0"
    assert found.verdicts == ("failed, 1 rule broken", "failed, 1 rule broken") and not found.notes


def test_metrics_by_inception_of_either_run_are_listed(before, after):
    fid = "fid_inception2015_bilinear299_test"
    value = read_json(after / EVALUATION)
    value["models"]["student"][fid] = {"value": 60.0, "low": 59.0, "high": 61.0, "n": 100}
    write_json(after / EVALUATION, value)
    assert rows(compare(Run(after), other(before)).metrics[1])[fid] == ("-", "60.0 [59.0, 61.0]", "-")
    assert rows(compare(Run(before), other(after)).metrics[1])[fid] == ("60.0 [59.0, 61.0]", "-", "-")


def test_a_difference_within_the_intervals_is_unclear(before, after):
    write_evaluation(after, miou=0.605)
    assert rows(compare(Run(after), other(before)).metrics[1])["miou"][2] == "+0.005 unclear"


def test_only_parameters_that_differ_are_listed(before, after):
    found = compare(Run(after), other(before)).parameters
    assert rows(found) == {"distill.output_weight": ("10.0", "100.0")}
    assert compare(Run(after), other(after)).parameters.notes[-1] == "None."


def test_parameters_are_those_of_the_runs_and_not_of_params_yaml(before, after):
    lock(before, distill={"distill": {"output_weight": 1.0, "learning_rate": "1e-05"}})
    lock(after, distill={"distill": {"output_weight": 1, "learning_rate": 2.0e-05}})
    for root in (before, after):
        (root / "params.yaml").write_text("distill: {output_weight: 7.0, learning_rate: 1.0e-5}\n")
    found = compare(Run(after), other(before)).parameters
    assert rows(found) == {"distill.learning_rate": ("1e-05", "2e-05")}
    assert found.notes == (
        "HEAD~1: params.yaml is no longer what this run was made with: "
        "`distill.output_weight` is 7.0 there and was 1.0.",
        "this run: params.yaml is no longer what this run was made with: "
        "`distill.output_weight` is 7.0 there and was 1; `distill.learning_rate` is 1e-05 there and was 2e-05.",
    )


def test_values_alone_are_compared_without_a_claim(before, after):
    (before / EVALUATION).unlink()
    found = compare(Run(after), other(before, **{EVALUATION: "not in the cache"}))
    assert rows(found.metrics[1])["miou"] == ("0.6", "0.650 [0.640, 0.660]", "+0.05")
    assert found.notes == ["not in the cache"]


def test_no_metrics_at_all_is_an_error(before, after):
    with pytest.raises(UserError, match="HEAD~1: no metrics of a run there: not part of it"):
        compare(Run(after), other(before, **{EVALUATION: "gone", METRICS_FILE: "not part of it"}))


def test_other_data_or_another_judge_do_not_compare(before, after):
    evaluation = Run(before).evaluation
    files = {**evaluation["files"], "artifacts/prepare/test.zip": "0" * 64}
    write_json(before / EVALUATION, {**evaluation, "files": files})
    found = compare(Run(after), other(before))
    (note,) = found.notes
    assert "differ in the test split" in note
    student = rows(found.metrics[1])
    assert student["miou"] == ("0.600 [0.590, 0.610]", "0.650 [0.640, 0.660]", "-")
    assert student["frechet distance"][2] == student["kid"][2] == "-" and student["parameters (M)"][2] == "0"


def test_both_students_pictures_are_of_the_same_maps(before, after):
    samples = draw_samples(Run(after))
    grid = side_by_side(samples, other(before))
    assert grid.columns == ("label map", "real photo", "student, HEAD~1", "student, this run")
    assert all(theirs != ours for _, (_, _, theirs, ours) in grid.rows)
    same = side_by_side(samples, other(after))
    assert all(theirs == ours for _, (_, _, theirs, ours) in same.rows)
    with pytest.raises(UserError, match="not shown: gone"):
        side_by_side(samples, other(before, **{STUDENT: "gone"}))
    (before / STUDENT).write_bytes((after / STUDENT).read_bytes())
    with pytest.raises(UserError, match="is not the file that was evaluated"):
        side_by_side(samples, other(before))
