"""What gate.yml may do, and that its job needs no more than `make setup-gate` installs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from understudy.adapters.dvc import closure
from understudy.commands.review import OUTPUT
from understudy.errors import DATA_FAILED, GATE_FAILED, OK, STALE

REPO = Path(__file__).parents[2]
WORKFLOWS = sorted((REPO / ".github/workflows").glob("*.yml"))
TEXT = (REPO / ".github/workflows/gate.yml").read_text()
(JOB,) = yaml.safe_load(TEXT)["jobs"].values()
SCRIPT = (REPO / "infra/gate.sh").read_text()


def using(action: str) -> dict:
    (step,) = (step for step in JOB["steps"] if step.get("uses", "").startswith(f"{action}@"))
    return step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(path):
    uses = re.findall(r"uses: (.+)", path.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_the_job_may_read_and_comment_and_nothing_else():
    values = yaml.safe_load(TEXT)
    assert values[True] == {"pull_request": None}, "YAML reads `on` as true; pull_request_target would run with keys"
    assert values["permissions"] == {}
    assert JOB["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert using("actions/checkout")["with"] == {"fetch-depth": 0, "persist-credentials": False}
    # What a title or a branch name says must not become part of a command.
    assert not any("${{" in step.get("run", "") for step in JOB["steps"])


def test_the_verdict_is_the_exit_code_of_the_script_that_any_ci_calls():
    (step,) = (step for step in JOB["steps"] if step.get("run", "").startswith("infra/gate.sh"))
    assert "continue-on-error" not in step and "continue-on-error" not in JOB
    assert using("actions/upload-artifact")["if"] == "always()"
    assert using("actions/upload-artifact")["with"]["path"] == OUTPUT and f"folder={OUTPUT}\n" in SCRIPT
    for words in (SCRIPT, (REPO / "docs/ci-gate.md").read_text()):
        for code, meaning in {
            OK: "passed",
            GATE_FAILED: "failed",
            DATA_FAILED: "cannot be judged",
            STALE: "stale",
        }.items():
            assert re.search(rf"{code}\W+{meaning}", words), (code, meaning)
    subprocess.run(["bash", "-n", str(REPO / "infra/gate.sh")], check=True)


def test_it_runs_where_only_dvc_and_yaml_are_installed():
    """`make setup-gate` installs those two, at the versions of the lock, and no torch."""
    files = {*closure("understudy.commands.review", REPO), *closure("understudy.adapters.github", REPO)}
    found = set()
    for file in files:
        for node in ast.walk(ast.parse((REPO / file).read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    assert found - sys.stdlib_module_names <= {"understudy", "dvc", "yaml", "ruamel"}
