"""What a sweep's budgets share, and the branches on which they part."""

import pytest
import yaml
from tiny_project import Project

from understudy.adapters.run_branch import open_run
from understudy.adapters.sweep_branch import open_budget, shared, unit
from understudy.errors import UserError
from understudy.params.loader import read


@pytest.fixture
def project(repo, tmp_path, monkeypatch) -> Project:
    found = Project(repo, tmp_path)
    (found.root / "dvc.yaml").write_text((repo / "dvc.yaml").read_text())
    found.share()
    for name in ("UNDERSTUDY_REPOSITORY", "UNDERSTUDY_WORKSPACES"):
        monkeypatch.setenv(name, found.environment()[name])
    return found


def test_each_budget_has_a_branch_that_begins_where_all_are_alike(project, tmp_path):
    here = open_run(tmp_path / "sweep", None, "HEAD", "aaaa")
    assert unit(here) == "macs_true_g" and shared(here) == "teacher"
    first, second = open_budget(here, 0.02), open_budget(here, 0.1)
    assert (first, second) == (f"{here.branch}.0.02", f"{here.branch}.0.1")
    before, after = read(here.root / "params.yaml"), yaml.safe_load(project.file(first, "params.yaml"))
    assert after["prune"]["budget"]["macs_true_g"] == 0.02
    after["prune"]["budget"] = before["prune"]["budget"]
    assert after == before  # and nothing else has changed, nor has the sweep's own branch
    assert project.log(second) == ["budget 0.1"]
    assert open_budget(here, 0.02) == first and project.log(first) == ["budget 0.02"]


def test_what_is_no_budget_in_macs_is_refused(project, tmp_path):
    here = open_run(tmp_path / "sweep", None, "HEAD", "aaaa")
    with pytest.raises(UserError, match="must be positive, found -1"):
        open_budget(here, -1.0)
    here.refresh()
    path = here.root / "params.yaml"
    path.write_text(path.read_text().replace("macs_true_g: 0.049,", "macs_true_g: null,").replace(
        "params_m: null", "params_m: 0.1"))  # fmt: skip
    with pytest.raises(UserError, match=r"prune.budget: is of params_m; a sweep is over MACs"):
        unit(here)
