"""The branches of a sweep: one that holds what all budgets share, and one for each budget, begun at it."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from understudy.adapters.revision import fetch
from understudy.adapters.run_branch import PARAMS
from understudy.adapters.workspace import Workspace, commit, tip
from understudy.errors import UserError
from understudy.files import read_json, write_text
from understudy.gate import EVALUATION
from understudy.git import git
from understudy.params.leaves import Change
from understudy.params.loader import load, read
from understudy.params.prune import Prune
from understudy.recipes import readers
from understudy.report.pareto import Point
from understudy.verdict import PATH, read_verdict

UNITS = {"macs_true_g": "G MACs, true", "macs_legacy_g": "G MACs, legacy"}


def unit(here: Workspace) -> str:
    """What the run's budget counts: a key of UNITS. Raises UserError when it counts something else."""
    (name,) = load(here.root / PARAMS, (Prune,))[Prune].budget.given
    if name not in UNITS:
        raise UserError(f"prune.budget: is of {name}; a sweep is over MACs, in a recipe that has {' or '.join(UNITS)}")
    return name


def shared(here: Workspace) -> str | None:
    """The last stage that a budget changes nothing about, before the first that reads it; None when there is none."""
    key = f"prune.budget.{unit(here)}"
    first = readers([Change(key, None, None)], here.root / "dvc.yaml")[0]
    names = list(read(here.root / "dvc.yaml")["stages"])
    return names[names.index(first) - 1] if names.index(first) else None


def open_budget(here: Workspace, budget: float) -> str:
    """The branch of one budget, made and pushed if it is not there yet; `here` is left at the sweep's own branch."""
    branch = f"{here.branch}.{budget:g}"
    if tip(here.root, branch):
        return branch
    yaml, path = YAML(), here.root / PARAMS
    yaml.preserve_quotes, yaml.width = True, 120
    values = yaml.load(path)
    values["prune"]["budget"][unit(here)] = budget
    text = io.StringIO()
    yaml.dump(values, text)
    git(here.root, "checkout", "--quiet", "-B", branch)
    write_text(path, text.getvalue())
    load(path, (Prune,))
    git(here.root, "add", "--", PARAMS)
    if git(here.root, "diff", "--cached", "--name-only"):
        commit(here.root, f"budget {budget:g}")
    Workspace(here.root, branch).push()
    here.refresh()
    return branch


def gather(here: Workspace, ended: Sequence[tuple[float, str, str]]) -> list[Point]:
    """What came out. ended: budget, branch, and how its run ended."""
    here.refresh()
    points = []
    for budget, branch, said in ended:
        with tempfile.TemporaryDirectory() as folder:
            _, absent = fetch(here.root, f"origin/{branch}", (EVALUATION, PATH), Path(folder))
            if absent:
                points.append(Point(budget, None, said))
                continue
            verdict = read_verdict(Path(folder) / PATH)
            failed = sum(rule.outcome == "failed" for rule in verdict.rules)
            outcome = "passed" if verdict.passed else f"{failed} rule{'s' if failed > 1 else ''} failed"
            points.append(Point(budget, read_json(Path(folder) / EVALUATION)["models"], outcome))
    return points
