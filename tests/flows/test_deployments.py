"""prefect.yaml says what the flows are, and the states of their ends are those that docs/flows.md tells."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from understudy import errors
from understudy.adapters import prefect as runs
from understudy.adapters.dvc import KILLED
from understudy.errors import UserError
from understudy.graph import STAGES

REPO = Path(__file__).parents[2]
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((REPO / "prefect.yaml").read_text())["deployments"]
FLOWS = sorted((REPO / "flows").glob("[!_]*.py"))


def named(deployment: dict[str, Any]) -> Any:
    """The flow of a deployment."""
    path, _, name = deployment["entrypoint"].partition(":")
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda entry: entry["entrypoint"] + " " + entry["name"])
def test_a_deployment_is_of_a_flow_that_takes_its_parameters_in_a_pool_with_a_stated_limit(deployment):
    signature = inspect.signature(named(deployment).fn)
    assert set(deployment.get("parameters", {})) <= set(signature.parameters)
    assert deployment["work_pool"]["name"] in ("understudy-cpu", "understudy-gpu")
    assert deployment["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")
    environment = deployment["work_pool"]["job_variables"]["env"]
    assert environment["DO_NOT_TRACK"] == "1" and not [name for name in environment if "SECRET" in name]


def test_compress_finds_the_deployments_of_its_stages():
    from flows.compress import ON_GPU

    there = {f"{named(entry).name}/{entry['name']}" for entry in DEPLOYMENTS}
    assert {"compress/pipeline", "stage/cpu", "stage/gpu"} <= there and set(ON_GPU) <= set(STAGES)


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_nothing_of_a_flow_is_kept_by_prefect(path):
    module = importlib.import_module(f"flows.{path.stem}")
    for found in vars(module).values():
        if hasattr(found, "persist_result") and hasattr(found, "fn"):
            assert found.persist_result is False, found
            policy = getattr(found, "cache_policy", None)
            assert policy is None or type(policy).__name__ == "_None", found


def test_to_import_a_flow_takes_no_torch():
    """`prefect deploy` imports every one, in the cluster beside a worker and in its memory; and so does each run."""
    names = ", ".join(f"flows.{path.stem}" for path in FLOWS)
    done = subprocess.run([sys.executable, "-c", f"import {names}, sys; print('torch' in sys.modules)"], cwd=REPO,
                          capture_output=True, text=True, check=True, timeout=300)  # fmt: skip
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("code", "kind", "name"), [
    (errors.BAD_INPUT, "FAILED", "BadInput"), (errors.GATE_FAILED, "FAILED", "GateFailed"),
    (errors.DATA_FAILED, "FAILED", "DataRefused"), (errors.UNEXPECTED, "FAILED", "Failed"),
    (errors.OUT_OF_MEMORY, "FAILED", "OutOfMemory"),
    (errors.PREEMPTED, "CRASHED", "Preempted"), (KILLED, "CRASHED", "Killed"),
])  # fmt: skip
def test_how_a_stage_ended_is_the_state_s_name_and_the_flow_s_exit_code(code, kind, name):
    state = runs.failure(UserError("why", code))
    assert (state.type.value, state.name, state.message) == (kind, name, "why")
    assert runs.exit_code(state) == code


def test_every_state_s_event_is_in_the_automations_that_the_docs_show():
    """Prefect names events after states: one that is not listed there would be told to nobody, or taken for lost."""
    text = (REPO / "docs/flows.md").read_text()
    for name in {*runs.FAILED.values(), *runs.CRASHED.values(), runs.REFUSED, runs.CHAMPION_WRONG,
                 "Failed", "Crashed"}:  # fmt: skip
        assert text.count(f"prefect.flow-run.{name}") == 2, name
