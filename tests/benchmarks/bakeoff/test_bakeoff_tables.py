"""Tables and plots against results whose numbers are known; and those of this repository against its own results."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bakeoff_results import FRECHET_DISTANCE, arm_of, result

from benchmarks.bakeoff.__main__ import SEEDS
from benchmarks.bakeoff.arms import ARMS
from benchmarks.bakeoff.designs import RESULTS, designs, require_one_origin
from benchmarks.bakeoff.document import ARM_LIST, DOCUMENT, sections
from benchmarks.bakeoff.plots import plot
from benchmarks.bakeoff.questions import QUESTIONS
from benchmarks.bakeoff.tables import arm_list, table
from understudy.errors import UserError

REPO = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def rows(text: str) -> dict[str, list[str]]:
    """Cells by the first one, which is the arm's."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells] for cells in lines}


def test_an_arm_s_row_has_its_mean_and_its_difference_from_the_reference():
    results = {"all": arm_of("all", 0.50, 0.60), "fresh-discriminator": arm_of("fresh-discriminator", 0.40, 0.508)}
    found = rows(table(QUESTIONS["discriminator"], results))
    assert found["arm"][4:6] == ["mIoU", "mIoU, difference"]
    assert found["all"][:6] == ["`all`", "", "2", "0.03", "0.5500 ± 0.0707", ""]
    assert found["fresh-discriminator"][1:5] == ["`all`", "2", "0.03", "0.4540 ± 0.0764"]
    # of -0.100 and -0.092: mean -0.096, half width 12.706 x 0.004
    assert found["fresh-discriminator"][5] == "-0.10 [-0.15, -0.05], p 0.027 **worse**"
    assert found["fresh-discriminator"][7].endswith("**worse**")  # of the Frechet distance more is worse


def test_every_row_has_every_column_and_arms_without_results_say_so():
    results = {"none": arm_of("none", 0.5, 0.6, 0.7), "outputs": arm_of("outputs", 0.52, 0.61, 0.73)}
    for name in ("losses", "noise", "time", "saturation"):
        text = table(QUESTIONS[name], results)
        for part in text.split("\n\n"):
            assert len({line.count("|") for line in part.splitlines() if line.startswith("|")}) <= 1
    found = rows(table(QUESTIONS["losses"], results))
    assert found["features"][2:6] == ["0", "-", "-", "-"]
    assert "**better**" not in found["outputs"][5] or "p 0." in found["outputs"][5]


def test_p_is_corrected_for_the_comparisons_that_could_be_made():
    """Two arms of the same differences: each p is twice that of one alone."""
    several = {"none": arm_of("none", 0.5, 0.6, 0.7)} | {
        name: arm_of(name, 0.52, 0.61, 0.73) for name in ("outputs", "features")
    }
    one = {name: several[name] for name in ("none", "outputs")}

    def p(results: dict) -> float:
        return float(re.search(r"p ([\d.]+)", rows(table(QUESTIONS["losses"], results))["outputs"][5])[1])

    assert p(several) == pytest.approx(2 * p(one), rel=0.05)


def test_the_noise_is_told_with_what_pairing_gives():
    """Two arms that move together over seeds: a spread of 0.1 each, and of their difference next to nothing."""
    results = {"none": arm_of("none", 0.4, 0.5, 0.6), "outputs": arm_of("outputs", 0.41, 0.511, 0.61)}
    text = table(QUESTIONS["noise"], results)
    spreads = rows(text)
    assert spreads["spread over seeds, all arms of losses"][1] == "0.1000"
    assert spreads["spread of the difference from `none`, paired by seed"][1] == "0.0006"
    assert spreads["spread from the test images alone"][1] == "0.0100"  # 0.0392 wide
    assert spreads["correlation of two arms over seeds"][1] == "1.00"
    assert "difference that 5 seeds find, first of 12 tests" in spreads


def test_seconds_are_of_trainings_that_nothing_interrupted():
    results = {
        "none": arm_of("none", 0.5, 0.6, cpu=50.0),
        "outputs": [result("outputs", 1, 0.5, cpu=100.0), result("outputs", 2, 0.6, cpu=3.0, starts=2)],
    }
    found = rows(table(QUESTIONS["time"], results))
    assert found["outputs"][1:6] == ["1", "100", "2.00", "200", "7.0"]
    assert found["features"][1:3] == ["0", "-"]


def test_a_loss_that_saturates_is_shown_saturating():
    line = [-2.0, -3.8, -3.9, -4.0]
    results = {
        "none": arm_of("none", 0.5),
        "alignment-batch": arm_of("alignment-batch", 0.5, curves={"alignment": line}),
    }
    found = rows(table(QUESTIONS["saturation"], results))
    assert found["alignment-batch"][1:] == ["alignment", "-4", "-2", "-3.8", "-3.9", "-4", "100%", "90%"]
    drawing = ET.fromstring(str(plot(QUESTIONS["saturation"], results)))
    assert next(text.text for text in drawing.iter(f"{SVG}text")) == "alignment-batch: alignment"


def test_a_plot_has_a_dot_for_every_seed_and_one_for_the_mean():
    results = {"all": arm_of("all", 0.50, 0.60, 0.55), "uniform": arm_of("uniform", 0.40, 0.51, 0.47)}
    drawing = ET.fromstring(str(plot(QUESTIONS["pruning"], results)))
    assert len(list(drawing.iter(f"{SVG}circle"))) == 3 * (3 + 1)
    assert "uniform - all" in [text.text for text in drawing.iter(f"{SVG}text")]
    for name in ("noise", "losses", "time"):
        found = {"none": arm_of("none", 0.5, 0.6), "outputs": arm_of("outputs", 0.52, 0.61)}
        assert ET.fromstring(str(plot(QUESTIONS[name], found))).tag == f"{SVG}svg"


def test_a_metric_that_some_run_lacks_is_left_out():
    results = {"all": arm_of("all", 0.5, 0.6), "uniform": arm_of("uniform", 0.4, 0.5)}
    del results["uniform"][0]["metrics"][FRECHET_DISTANCE]
    head = rows(table(QUESTIONS["pruning"], results))["arm"]
    assert "mIoU" in head and "Frechet distance" not in head


def test_results_of_two_teachers_are_not_compared():
    one, other = result("none", 1, 0.5), result("outputs", 2, 0.5)
    require_one_origin("x", [one, result("outputs", 1, 0.5)])
    other["origin"] = {**other["origin"], "teacher": "another"}
    with pytest.raises(UserError, match=r"x: results of two teachers, a teacher \(none, seed 1\) and another \(out"):
        require_one_origin("x", [one, other])


def test_the_document_shows_the_results_that_are_there(monkeypatch):
    monkeypatch.chdir(REPO)
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- table: (\S+) -->\n(.*?)<!-- end of table -->", text, re.DOTALL))
    expected = {ARM_LIST: arm_list()}
    for design in designs().values():
        results = design.results(ARMS.values())
        expected |= sections(design, SEEDS, results)
        files = list((RESULTS / design.name).rglob("seed-*.json"))
        assert len(files) == sum(map(len, results.values()))  # none is of a recipe as it once was
        for question in QUESTIONS.values():
            picture = DOCUMENT.parent / "bakeoff" / f"{question.name}-{design.name}.svg"
            assert not picture.exists() or picture.read_text() == f"{plot(question, results)}\n"
            assert picture.exists() == (f"]({picture.relative_to(DOCUMENT.parent)})" in text)
    assert shown == expected


def test_every_question_is_in_the_document_with_its_command():
    text = (REPO / DOCUMENT).read_text(encoding="utf-8")
    for question in QUESTIONS.values():
        assert (
            f"## {question.title}\n" in text and f"python -m benchmarks.bakeoff --questions {question.name}\n" in text
        )
