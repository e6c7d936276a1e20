"""The machinery over copies of the shipped parameters, and every shipped recipe."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from understudy.arch.teacher import teacher_arch
from understudy.errors import UserError
from understudy.metrics.protocol import MEASURED, fits
from understudy.params.active import SECTIONS, load_all
from understudy.params.gate import Gate
from understudy.params.leaves import Change, differences
from understudy.params.loader import read, section_name
from understudy.params.prepare import Prepare
from understudy.params.teacher import Teacher
from understudy.recipes import find, readers, recipes, use

REPO = Path(__file__).parents[2]
SHIPPED = sorted((REPO / "recipes").glob("*.yaml"))


def write(path: Path, about: str = "A recipe", **changes: object) -> Path:
    """The shipped parameters with some values replaced: `teacher__ngf=8` is teacher.ngf."""
    values = read(REPO / "params.yaml")
    for name, value in changes.items():
        *sections, key = name.split("__")
        place = values
        for section in sections:
            place = place[section]
        place[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {about}\n{yaml.safe_dump(values)}", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "recipes/small.yaml", "Small, for a look", teacher__ngf=8, base__seed=3)
    write(tmp_path / "recipes/wide.yaml", "Wide", teacher__ngf=48, base__seed=3)
    return tmp_path / "recipes"


def test_load_all_gives_every_section(tmp_path):
    loaded = load_all(write(tmp_path / "p.yaml", base__seed=5))
    assert set(loaded) == set(SECTIONS)
    assert all(isinstance(value, section) for section, value in loaded.items())
    assert next(v for s, v in loaded.items() if section_name(s) == "base").seed == 5


def test_load_all_refuses_an_unknown_section(tmp_path):
    with pytest.raises(UserError, match=r"p\.yaml: unknown section distil, extra; known sections: base"):
        load_all(write(tmp_path / "p.yaml", distil={}, extra=1))


@pytest.mark.parametrize("section", [section_name(section) for section in SECTIONS])
def test_load_all_refuses_a_missing_section(section, tmp_path):
    path = write(tmp_path / "p.yaml")
    values = read(path)
    del values[section]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=f": {section}: expected a mapping"):
        load_all(path)


def test_recipes_are_listed_by_name_with_their_first_line(folder):
    assert [(recipe.name, recipe.about) for recipe in recipes(folder)] == [
        ("small", "Small, for a look"),
        ("wide", "Wide"),
    ]
    assert find(folder, "wide").path == folder / "wide.yaml"
    with pytest.raises(UserError, match=r"no recipe 'huge'.*small, wide"):
        find(folder, "huge")


def test_a_recipe_without_its_line_or_an_empty_folder_is_named(folder, tmp_path):
    (folder / "bare.yaml").write_text("base: {seed: 1}\n")
    with pytest.raises(UserError, match=r"bare\.yaml: the first line"):
        recipes(folder)
    with pytest.raises(UserError, match="holds no recipe"):
        recipes(tmp_path / "elsewhere")


def test_use_replaces_the_file_and_says_what_changed(folder, tmp_path):
    params = tmp_path / "params.yaml"
    use(find(folder, "small"), params)
    changes = use(find(folder, "wide"), params)
    assert changes == [Change("teacher.ngf", 8, 48)]
    assert params.read_bytes() == (folder / "wide.yaml").read_bytes()
    assert use(find(folder, "wide"), params) == []


def test_use_keeps_an_edited_file_unless_forced(folder, tmp_path):
    params = write(tmp_path / "params.yaml", "Small, for a look", teacher__ngf=12, base__seed=3)
    edited = params.read_bytes()
    with pytest.raises(UserError, match=r"params\.yaml has been edited.*--force"):
        use(find(folder, "small"), params)
    assert params.read_bytes() == edited
    assert use(find(folder, "small"), params, force=True) == [Change("teacher.ngf", 12, 8)]


def test_use_checks_the_recipe_before_it_writes(folder, tmp_path):
    params = tmp_path / "params.yaml"
    use(find(folder, "small"), params)
    before = params.read_bytes()
    write(folder / "broken.yaml", "Broken", teacher__ngf=0)
    with pytest.raises(UserError, match=r"broken\.yaml: teacher\.ngf: must be positive"):
        use(find(folder, "broken"), params, force=True)
    assert params.read_bytes() == before and not list(tmp_path.glob(".*"))


def test_use_replaces_a_file_that_cannot_be_read_only_when_forced(folder, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("teacher: [")
    with pytest.raises(UserError, match="edited"):
        use(find(folder, "small"), params)
    changes = use(find(folder, "small"), params, force=True)
    assert Change("teacher.ngf", None, 8) in changes


def test_differences_are_by_leaf_and_name_what_is_gone():
    before = {"a": {"x": 1, "y": {"z": [1, 2]}}, "b": 0}
    after = {"a": {"x": 1, "y": {"z": [1, 3]}}, "c": {"new": True}}
    assert differences(before, after) == [
        Change("a.y.z", [1, 2], [1, 3]),
        Change("c.new", None, True),
        Change("b", 0, None),
    ]
    assert differences({"gate": {"kid": {}}}, {"gate": {}}) == [Change("gate", None, {}), Change("gate.kid", {}, None)]


def test_readers_are_the_stages_whose_own_parameters_changed(tmp_path):
    graph = tmp_path / "dvc.yaml"
    graph.write_text(
        "stages:\n  prepare: {params: [prepare.size]}\n  teacher: {params: [base, teacher]}\n"
        "  prune: {params: [{other.yaml: [prune]}]}\n  check: {cmd: x}\n"
    )
    assert readers([Change("base.seed", 0, 1)], graph) == ["teacher"]
    assert readers([Change("prepare.size", 0, 1), Change("prune.inherit", 0, 1)], graph) == ["prepare", "prune"]
    assert readers([Change("prepare.sizes", 0, 1), Change("teachers.x", 0, 1)], graph) == []


def test_the_shipped_graph_says_who_reads_a_teacher_parameter():
    assert readers([Change("teacher.ngf", 1, 2)], REPO / "dvc.yaml") == ["teacher"]


@pytest.mark.parametrize("path", [REPO / "params.yaml", *SHIPPED], ids=lambda path: path.stem)
def test_every_shipped_parameter_file_loads(path):
    assert set(load_all(path)) == set(SECTIONS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_gate_of_every_recipe_judges_what_its_kind_of_data_has(path):
    params = load_all(path)
    kind, policy = params[Prepare].kind, params[Gate].policy
    assert [metric for metric in policy if not fits(metric, kind)] == []
    assert policy.keys() - {metric.name for metric in MEASURED}, "it must look at pictures too"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("family", ["inception", "resnet", "unet"])
def test_every_recipe_describes_a_generator_of_each_family(path, family):
    params = load_all(path)
    arch = teacher_arch(replace(params[Teacher], family=family), 13, params[Prepare].size)
    assert arch.family == family and arch.size == params[Prepare].size and arch.norm == params[Teacher].norm


@pytest.mark.parametrize("family", ["spade", "gaugan"])
def test_a_decoder_is_as_the_parameters_say_down_to_64_pixels(family):
    """One pixel of the label map where it starts, and 16 pixels where its features are first compared."""
    teacher = replace(load_all(REPO / "params.yaml")[Teacher], family=family, norm="batch", ngf=8)
    arch = teacher_arch(teacher, 5, (64, 64))
    assert arch.family == family and arch.taps == ("block.2", "block.4") and arch.middle == "block.2"
    with pytest.raises(UserError, match=rf"{family}: size: multiples of 64, .*found \(96, 128\)"):
        teacher_arch(teacher, 5, (96, 128))


def test_the_shipped_parameters_are_a_recipe_so_that_use_may_replace_them():
    assert (REPO / "params.yaml").read_bytes() in [path.read_bytes() for path in SHIPPED]
