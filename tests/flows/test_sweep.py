"""A sweep over two budgets of a tiny project: one after another in a process, and side by side by Prefect's workers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from own_repository import done
from tiny_project import Project
from workers import ended, working

pytestmark = pytest.mark.timeout(1500)
STAGE = '''
"""What costs and quality would be at the budget in params.yaml; `teacher` says that it ran."""
import sys
from pathlib import Path
import yaml
from understudy.files import read_json, write_json
from understudy.stage import main
from understudy.verdict import Finding, Verdict

name = sys.argv.pop(1)

def run(job):
    budget = yaml.safe_load(Path("params.yaml").read_text())["prune"]["budget"]["macs_true_g"]
    if name == "teacher":
        write_json(job.output("teacher/weights.json"), {"step": 1})
    elif name == "prune":
        write_json(job.output("prune/arch.json"), {"macs": budget})
    elif name == "evaluate":
        macs = read_json(Path("artifacts/prune/arch.json"))["macs"]
        miou = {"value": 0.3 + macs, "low": 0.28 + macs, "high": 0.32 + macs}
        student = {"miou_segmenter_noresize_test": miou, "macs_true_g": {"value": macs}, "params_m": {"value": macs}}
        write_json(job.output("evaluate/evaluation.json"), {"models": {"student": student, "teacher": {}}})
    else:
        passed = budget < 0.05
        outcome = "passed" if passed else "failed"
        rule = (Finding("macs_true_g", "max", outcome, f"macs_true_g: {outcome}"),)
        verdict = Verdict(passed, rule, {"macs_true_g": {"max": 0.05}}, {}, "0" * 64, "1" * 64, "2" * 64, {})
        write_json(job.output("gate/verdict.json"), verdict.plain())

main(name, (), lambda job: {}, run)
'''
GRAPH = {
    "teacher": (["${prepare.source}"], ["prepare"], "teacher/weights.json"),
    "prune": (["artifacts/teacher/weights.json"], ["prune"], "prune/arch.json"),
    "evaluate": (["artifacts/prune/arch.json"], [], "evaluate/evaluation.json"),
    "gate": (["artifacts/evaluate/evaluation.json"], ["gate"], "gate/verdict.json"),
}


@pytest.fixture
def project(repo, tmp_path) -> Project:
    found = Project(repo, tmp_path)
    stages = {name: {"cmd": f"python own.py {name}", "deps": ["own.py", *deps], "params": params,
                     "outs": [{f"artifacts/{out}": {"cache": name != "gate"}}]}
              for name, (deps, params, out) in GRAPH.items()}  # fmt: skip
    (found.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (found.root / "own.py").write_text(STAGE)
    found.share()
    return found


def check_results(project: Project, server) -> None:
    (own, *branches) = sorted(project.branches(), key=len)
    assert sorted(branches) == [f"{own}.0.02", f"{own}.0.08"]
    assert yaml.safe_load(project.file(branches[0], "params.yaml"))["prune"]["budget"]["macs_true_g"] in (0.02, 0.08)
    assert "# The embedded street scenes" in project.file(branches[0], "params.yaml")  # comments stay
    # The teacher was trained once, before the budgets parted.
    assert "teacher of" in " ".join(project.log(own))
    for branch in branches:
        assert not [subject for subject in project.log(branch) if subject == f"teacher of {branch}"]
        assert [subject.split()[0] for subject in project.log(branch)][:3] == ["gate", "evaluate", "prune"]
    table = project.file(own, "artifacts/sweep/sweep.md")
    plain = table.replace("\\", "")
    assert "| 0.02 | 0.02 | 0.02 | 0.320 [0.300, 0.340] * | passed |" in plain, table
    assert "| 0.08 | 0.08 | 0.08 | 0.380 [0.360, 0.400] * | 1 rule failed |" in plain
    assert project.file(own, "artifacts/sweep/sweep.svg").startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert [one["budget"] for one in json.loads(project.file(own, "artifacts/sweep/sweep.json"))["students"]] == [
        0.02, 0.08]  # fmt: skip
    with server.client() as client:
        told = {one.key: one.data for one in client.read_artifacts() if own in (one.description or "")}
    assert told["sweep-street-scenes"].strip() == table.strip() and "pareto-street-scenes" in told


@pytest.mark.long
def test_two_budgets_in_turn_and_one_that_was_there(project, repo, prefect_server):
    def run(*arguments: str) -> tuple[int, str, str]:
        prefect = {name: value for name, value in prefect_server.environment.items() if "PREFECT" in name}
        command = [sys.executable, "-m", "flows.sweep", *arguments]
        said = subprocess.run(command, cwd=repo, env=project.environment(**prefect), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)  # fmt: skip
        return said.returncode, said.stdout.splitlines()[-1], said.stdout

    code, last, said = run("0.02")
    assert code == 2 and "two budgets or more" in last and not project.branches()
    code, last, said = run("0.08", "0.02")
    assert code == 0 and "2 budgets" in last, said
    check_results(project, prefect_server)
    # Going on with a sweep runs what is new alone.
    (own, *_) = sorted(project.branches(), key=len)
    code, last, said = run("0.02", "0.08", "0.04", "--branch", own)
    assert code == 0 and said.count("Running stage 'prune'") == 1 and said.count("Running stage 'teacher'") == 0, said
    assert "| 0.04 |" in project.file(own, "artifacts/sweep/sweep.md")


@pytest.mark.long
def test_two_budgets_side_by_side(project, repo, prefect_server, tmp_path: Path):
    prefect = {name: value for name, value in prefect_server.environment.items() if "PREFECT" in name}
    with working(prefect_server, repo, project.environment(**prefect), tmp_path):
        with prefect_server.client() as client:
            deployment = client.read_deployment_by_name("sweep/budgets")
            asked = {"budgets": [0.02, 0.08], "recipe": None, "revision": "HEAD", "isolated": True, "branch": None}
            run = client.create_flow_run_from_deployment(deployment.id, parameters=asked).id
        state = ended(prefect_server, run)
    assert state.is_completed(), state.message
    check_results(project, prefect_server)
    assert done(project.root, "git", "status", "--porcelain") == ""
