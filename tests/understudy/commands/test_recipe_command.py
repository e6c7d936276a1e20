from pathlib import Path

import pytest
import yaml
from verbs import understudy

from understudy.errors import BAD_INPUT, OK
from understudy.params.loader import read

REPO = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two recipes, and the shipped graph."""
    for name, seed in (("one", 1), ("two", 2)):
        values = read(REPO / "params.yaml")
        values["base"]["seed"] = seed
        path = tmp_path / f"recipes/{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# Seed {seed}\n{yaml.safe_dump(values)}")
    (tmp_path / "dvc.yaml").write_bytes((REPO / "dvc.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipe_list_and_show(project, capsys):
    assert understudy(capsys, "recipe", "list") == (OK, "one  Seed 1\ntwo  Seed 2\n", "")
    assert understudy(capsys, "recipe", "show", "two")[1] == (project / "recipes/two.yaml").read_text()


def test_recipe_use_says_which_stages_read_what_changed(project, capsys):
    assert understudy(capsys, "recipe", "use", "one")[0] == OK
    code, out, _ = understudy(capsys, "recipe", "use", "two")
    assert code == OK and "base.seed: 1 -> 2" in out
    assert "Stages whose parameters changed: teacher, distill, baseline, evaluate, export." in out
    assert (project / "params.yaml").read_bytes() == (project / "recipes/two.yaml").read_bytes()
    assert "no changed value(s)" in understudy(capsys, "recipe", "use", "two")[1]


def test_recipe_use_does_not_lose_edits(project, capsys):
    (project / "params.yaml").write_text("# mine\nbase: {seed: 9}\n")
    code, _, err = understudy(capsys, "recipe", "use", "one")
    assert code == BAD_INPUT and "has been edited" in err
    assert (project / "params.yaml").read_text() == "# mine\nbase: {seed: 9}\n"
    assert understudy(capsys, "recipe", "use", "one", "--force")[0] == OK


def test_recipe_names_the_known_ones(project, capsys):
    code, _, err = understudy(capsys, "recipe", "show", "three")
    assert code == BAD_INPUT and err.startswith("understudy recipe: no recipe 'three'") and "one, two" in err
