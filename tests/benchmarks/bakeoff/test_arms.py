"""Every arm is the recipe with valid values, differs from `none` in what it says, and in nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.bakeoff.arms import ARMS, STEPS, TERMS, Arm
from benchmarks.bakeoff.designs import PRECISION, designs
from benchmarks.bakeoff.questions import LOSSES, QUESTIONS
from benchmarks.settings import digits
from understudy.errors import UserError
from understudy.params.active import load_all
from understudy.params.distill import Distill
from understudy.params.leaves import differences
from understudy.params.prepare import Prepare
from understudy.params.student import Student
from understudy.params.teacher import Teacher

REPO = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(REPO)


@pytest.fixture(params=["street-scenes", "camvid"])
def design(request):
    return designs()[request.param]


@pytest.mark.parametrize("arm", ARMS.values(), ids=lambda arm: arm.name)
def test_an_arm_is_a_whole_valid_parameter_file(arm, design, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(arm.params(design.values, seed=3)))
    params = load_all(path)
    assert params[Student].schedule.steps == STEPS  # the same for all, whatever the schedule's shape


@pytest.mark.parametrize("arm", ARMS.values(), ids=lambda arm: arm.name)
def test_an_arm_differs_from_the_recipe_in_its_changes_alone(arm, design):
    changed = {change.key for change in differences(design.values, arm.params(design.values))}
    assert changed <= set(arm.changes)
    assert arm.params(design.values, seed=3)["base"]["seed"] == 3
    assert design.values["base"]["seed"] == 0  # the recipe itself is left alone


def test_no_two_arms_are_the_same(design):
    of_arms = {arm.name: design.settings(arm) for arm in ARMS.values()}
    assert len(set(of_arms.values())) == len(ARMS)


def test_a_loss_s_arm_differs_from_none_in_the_section_of_distillation_alone(design):
    none = ARMS["none"].params(design.values)
    for name in LOSSES:
        changed = {change.key for change in differences(none, ARMS[name].params(design.values))}
        assert changed and all(key.startswith("distill.") for key in changed)
        assert "distill.discriminator" not in changed


def test_none_has_no_term_and_every_loss_has_those_of_its_name(design, tmp_path):
    def terms(arm: Arm) -> set[str]:
        path = tmp_path / f"{arm.name}.yaml"
        path.write_text(yaml.safe_dump(arm.params(design.values)))
        params = load_all(path)[Distill]
        weights = (params.output_weight, params.feature_weight, params.alignment.weight, params.relation.weight)
        return {term for term, weight in zip(TERMS, weights, strict=True) if weight}

    assert terms(ARMS["none"]) == terms(ARMS["alone"]) == set()
    assert terms(ARMS["all"]) == {"outputs", "alignment", "relation"}
    for name in set(LOSSES) - {"all", "alignment-relation"}:
        assert terms(ARMS[name]) == {name.partition("-")[0]}


def test_the_recipe_is_what_the_arm_all_says(design):
    distill = load_all(design.recipe)[Distill]
    assert distill.alignment.form == "global_centred" and distill.discriminator == "teacher"
    assert (distill.relation.norm, distill.relation.centred) == ("l2", True)
    assert design.values["prune"]["inherit"] == "all" and design.values["prune"]["method"] == "threshold"


def test_both_designs_train_alike():
    """So that what differs between them is the data, and what the teacher makes of them."""
    scenes, camvid = (load_all(designs()[name].recipe) for name in ("street-scenes", "camvid"))
    assert scenes[Student] == camvid[Student] and scenes[Distill] == camvid[Distill]
    same = replace(camvid[Teacher], schedule=scenes[Teacher].schedule)
    assert scenes[Teacher] == same and scenes[Prepare].size == camvid[Prepare].size


def test_students_are_scored_at_their_last_step(design):
    """Choosing the best of several checkpoints would add noise."""
    schedule = load_all(design.recipe)[Student].schedule
    assert schedule.validate_every >= schedule.steps


def test_a_key_that_is_none_is_refused(design):
    with pytest.raises(UserError, match=r"arm x: the recipe has no distill\.aligment\.weight"):
        Arm("x", "misspelt", {"distill.aligment.weight": 1.0}).params(design.values)
    with pytest.raises(UserError, match=r"the recipe has no prune\.methods"):
        Arm("x", "misspelt", {"prune.methods": "uniform"}).params(design.values)


def test_every_question_is_of_arms_that_are_there_and_every_arm_is_asked_about():
    asked = {arm for question in QUESTIONS.values() for arm in question.arms}
    assert asked == set(ARMS)


def test_the_digits_of_an_arm_do_not_change_with_the_gate(design):
    values = {**design.values, "gate": {}}
    assert digits(values, PRECISION) == digits(design.values, PRECISION)
