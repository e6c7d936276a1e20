"""The table of seeds, from results as the benchmark leaves them; and those of this repository, with their tables."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.headings import metrics_of
from benchmarks.roots import DATA
from benchmarks.seeds import OWN, over_seeds, results_of, table
from benchmarks.settings import PRECISIONS, settings
from understudy.errors import UserError

MIOU, FRECHET, KID = metrics_of({"kind": "labels"})
REPO = Path(__file__).parents[2]
STREET_SCENES = REPO / "recipes/street-scenes.yaml"
BAKEOFF = "bakeoff"  # whose results and tables have tests of their own
RESULTS = sorted(folder.name for folder in (REPO / "docs/results").iterdir() if folder.name != BAKEOFF)


def result(seed: int, miou: float) -> dict[str, Any]:
    def model(offset: float, macs: float) -> dict[str, Any]:
        scores = {MIOU: miou + offset, FRECHET: 1.0 - offset, KID: 0.0021}
        costs = {"macs_true_g": macs, "macs_legacy_g": 1.2 * macs, "params_m": macs / 10}
        return {name: {"value": value} for name, value in {**scores, **costs}.items()}

    def difference(value: float) -> dict[str, Any]:
        return {metric: {"value": value, "low": value - 0.01, "high": value + 0.01} for metric in (MIOU, FRECHET)}

    return {
        "seed": seed,
        "kind": "labels",
        "date": f"2030-01-0{seed + 1}",
        "hardware": "A processor, 1 thread",
        "minutes": {"teacher": 10.0, "distill": 5.0},
        "models": {"teacher": model(0.0, 0.5), "student": model(0.02, 0.05), "baseline": model(-0.1, 0.05),
                   "real": {MIOU: {"value": 0.9}}},
        "differences": {"student_minus_teacher": difference(0.02), "student_minus_baseline": difference(0.12)},
    }  # fmt: skip


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_each_seed_has_its_row_and_the_last_is_their_mean():
    text = table(Path("recipes/x.yaml"), [result(0, 0.5), result(1, 0.6)])
    head, _, first, second, mean, *_ = rows(text)
    assert head[:4] == ["seed", "mIoU, teacher", "mIoU, student", "mIoU, baseline"]
    assert first[:4] == ["0", "0.5000", "0.5200", "0.4000"]
    assert second[:4] == ["1", "0.6000", "0.6200", "0.5000"]
    assert mean[:2] == ["mean", "0.5500 ± 0.0707"]  # the sample's standard deviation, n - 1
    assert first[7] == "2.100"  # KID in thousandths
    assert {len(row) for row in rows(text)[:5]} == {len(head)}


def test_the_comparisons_carry_their_intervals_and_what_was_not_measured_is_a_dash():
    text = table(Path("recipes/x.yaml"), [result(0, 0.5)])
    assert ["0", "mIoU", "0.020 [0.010, 0.030] better", "0.120 [0.110, 0.130] better"] in rows(text)
    assert ["0", "KID x 1000", "-", "-"] in rows(text)
    one = result(0, 0.5)
    for model in ("teacher", "student", "baseline"):
        del one["models"][model][FRECHET]
    cells = next(row for row in rows(table(Path("recipes/x.yaml"), [one])) if row[0] == "0")
    assert cells[4:7] == ["-", "-", "-"]


def test_over_seeds_the_interval_is_student_s():
    """Three values: t(0.975, 2) = 4.303."""
    found = over_seeds([{"value": value} for value in (0.01, 0.02, 0.03)])
    assert found is not None and found["value"] == pytest.approx(0.02)
    half = 4.3027 * 0.01 / 3**0.5
    assert (found["low"], found["high"]) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-3)
    assert over_seeds([{"value": 0.1}, None]) is None
    text = table(Path("recipes/x.yaml"), [result(0, 0.5), result(1, 0.6)])
    assert ["all", "mIoU", "0.020 [0.020, 0.020] better", "0.120 [0.120, 0.120] better"] in rows(text)


def test_cost_ratios_and_origin_are_stated():
    text = table(Path("recipes/x.yaml"), [result(0, 0.5), result(2, 0.6)])
    assert "macs_true_g 0.05 to 0.05 (10.0 to 10.0 times fewer)" in text
    assert "mIoU 0.9000" in text and "15 minutes a seed" in text
    assert "2030-01-01 to 2030-01-03" in text and "--recipe recipes/x.yaml" in text


def test_only_results_of_the_recipe_as_it_stands_enter_the_table(tmp_path):
    recipe, folder = tmp_path / "recipe.yaml", tmp_path / "results"
    recipe.write_text("base: {seed: 0}\n")
    folder.mkdir()
    with pytest.raises(UserError, match=r"results: holds no result of .*recipe\.yaml.*without --table-only"):
        results_of(recipe, folder)
    for seed, digest in ((0, settings(recipe, "fp32")), (1, "of an older recipe")):
        (folder / f"seed-{seed}.json").write_text(json.dumps({**result(seed, 0.5), "settings": digest}))
    assert [found["seed"] for found in results_of(recipe, folder)] == [0]


def test_the_benchmark_runs_every_stage_of_the_graph(repo):
    import yaml

    stages = yaml.safe_load((repo / "dvc.yaml").read_text())["stages"]
    assert [*DATA, *OWN, "export", "gate"] == list(stages)  # the last two are about one run; the table compares several


def test_a_parameter_that_is_null_is_none_for_the_results(tmp_path):
    recipe, more = tmp_path / "a.yaml", tmp_path / "b.yaml"
    recipe.write_text("teacher: {ngf: 8}\n")
    more.write_text("teacher: {ngf: 8, source: null}\n")
    assert settings(recipe, "fp32") == settings(more, "fp32")
    more.write_text("teacher: {ngf: 8, source: {path: G.pth}}\n")
    assert settings(recipe, "fp32") != settings(more, "fp32")


def test_what_another_family_uses_leaves_results_valid(tmp_path):
    """And what this one uses does not."""
    shipped = STREET_SCENES.read_text()
    recipe = tmp_path / "recipe.yaml"

    def digest(old: str, new: str) -> str:
        assert old in shipped
        recipe.write_text(shipped.replace(old, new))
        return settings(recipe, "fp32")

    same = settings(STREET_SCENES, "fp32")
    assert digest("levels: 5", "levels: 6") == digest("lambda_cycle: 10.0", "lambda_cycle: 9.0") == same
    assert digest("directions: one", "directions: both") == digest("  instances: false\n", "") == same
    assert digest("instances: false", "instances: true") != same
    assert digest("reduction: 6, padding", "reduction: 4, padding") != same
    assert digest("family: pix2pix", "family: gaugan") != same


def test_every_kind_of_data_has_its_own_metrics():
    one = result(0, 0.5) | {"kind": "unpaired"}
    share = metrics_of(one)[0]
    for name, model in one["models"].items():
        model[share] = {"value": {"real": 0.83, "student": 0.5}.get(name, 0.4)}
    text = table(Path("recipes/x.yaml"), [one])
    head, _, first, *_ = rows(text)
    assert head[2] == "taken for the target, student" and first[2] == "0.500"
    assert "The judge reads real test photos at taken for the target 0.830" in text


def test_results_in_either_precision_are_of_a_recipe_that_leaves_it_open(tmp_path):
    """Recipes named bf16 once, and say auto now: what was made in it stays theirs, with the digits that it has."""
    text = STREET_SCENES.read_text()
    assert "precision: auto" in text
    digests = {}
    for named in PRECISIONS:
        (tmp_path / f"{named}.yaml").write_text(text.replace("precision: auto", f"precision: {named}"))
        digests[named] = {settings(tmp_path / f"{named}.yaml", one) for one in PRECISIONS}
        assert digests[named] == {settings(STREET_SCENES, named)}
    assert digests["bf16"].isdisjoint(digests["fp32"])


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_is_of_its_recipe_as_it_stands_and_its_table_is_in_a_document(name, monkeypatch):
    monkeypatch.chdir(REPO)  # by which the table names the recipe
    recipe, folder = Path(f"recipes/{name}.yaml"), Path(f"docs/results/{name}")
    found = results_of(recipe, folder)
    assert len(found) == len(list(folder.iterdir())) and all(result["recipe"] == str(recipe) for result in found)
    pattern = re.compile(rf"<!-- table: {name} -->\n(.*?)<!-- end of table -->", re.DOTALL)
    shown = [
        text for path in (Path("README.md"), *Path("docs").glob("*.md")) for text in pattern.findall(path.read_text())
    ]
    assert shown == [table(recipe, found)]


def test_every_table_of_a_document_has_its_results():
    documents = (REPO / "README.md", *(REPO / "docs").glob("*.md"))
    asked = [name for path in documents for name in re.findall(r"<!-- table: (\S+) -->", path.read_text())]
    assert sorted(name for name in asked if not name.startswith(f"{BAKEOFF}-")) == RESULTS
