"""The shipped graph, shrunk by its parameters, through the flow in one process: what `dvc repro` would have made."""

import subprocess
import sys

import pytest
import yaml
from mlflow_server import stop_group
from own_repository import done, environment
from shrunk import make, ran

from understudy.files import read_json
from understudy.graph import STAGES
from understudy.verdict import PATH

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_every_stage_of_the_shipped_graph_runs_once_and_its_results_are_a_revision(repo, prefect_server, tmp_path):
    root, workspaces = tmp_path / "clone", tmp_path / "workspaces"
    make(repo, root)
    prefect = {name: value for name, value in prefect_server.environment.items() if "PREFECT" in name}
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        # The repository is the folder itself: its cache is where the data goes, and it gets the branch.
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.compress"], cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
            env=environment() | prefect | {"DO_NOT_TRACK": "1", "UNDERSTUDY_WORKSPACES": str(workspaces)},
        )  # fmt: skip
    try:
        code = process.wait(3000)
    finally:
        stop_group(process)
    assert code in (0, 3), said.read_text()
    assert ran(said.read_text()) == set(STAGES)
    (branch,) = done(root, "git", "branch", "--list", "--format=%(refname:short)", "runs/*").split()
    subjects = done(root, "git", "log", "--format=%s", "--reverse", f"HEAD..{branch}").splitlines()
    assert subjects == [f"{stage} of {branch}" for stage in STAGES]

    done(root, "git", "checkout", "-q", branch)
    done(root, "dvc", "checkout")
    assert read_json(root / PATH)["passed"] is (code == 0)
    graph = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    made = [entry for stage in graph.values() for key in ("outs", "metrics") for entry in stage.get(key, [])]
    outputs = [entry if isinstance(entry, str) else next(iter(entry)) for entry in made]
    assert [name for name in outputs if not (root / name).exists()] == []
    assert done(root, "dvc", "status").strip() == "Data and pipelines are up to date."
    assert ran(done(root, "dvc", "repro")) == set()
