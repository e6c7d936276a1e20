"""The pipeline as a Prefect flow: `python -m flows.compress [--recipe R] [--revision REV] [--branch runs/...]`.

Makes a run branch on git's remote and has each stage that DVC finds stale put its results there: in this process, or
(isolated) each as a flow run of the deployments `stage/cpu` and `stage/gpu`, with resources of its own. What a stage
costs is what `understudy run` costs, and ten seconds for each; docs/flows.md.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from understudy.adapters import prefect as runs
from understudy.adapters import prefect_elsewhere as elsewhere

# isort: split
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed, State

from flows.gpus import job_variables
from flows.stage import stage as run_stage
from understudy import child, memory
from understudy.adapters.freshness import Staleness
from understudy.adapters.prefect_artifacts import show
from understudy.adapters.run_branch import join, open_run
from understudy.adapters.workspace import Workspace, workspaces
from understudy.errors import GATE_FAILED, OUT_OF_MEMORY, UserError
from understudy.params.loader import read
from understudy.verdict import PATH, read_verdict

ON_GPU = ("judge", "teacher", "distill", "baseline", "evaluate")
RESTARTS = 5  # of one stage, when it was preempted or something crashed
RESTART_SECONDS = 5.0


@flow(name="compress", persist_result=False)
def compress(
    recipe: str | None = None,
    revision: str = "HEAD",
    isolated: bool = False,
    branch: str | None = None,
    until: str | None = None,
) -> State:
    """Run what is stale of the pipeline, and judge the student.

    recipe: which parameters (by default params.yaml of the revision). revision: of the project, as git's remote has it.
    isolated: each stage is a run of a deployment. branch: go on with the run that made it, instead of a new one.
    until: the last stage to run, where not the whole pipeline is wanted; then there is no verdict.
    """
    run, logger = runs.run_id(), get_run_logger()
    with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        try:
            here = join(Path(folder), branch) if branch else open_run(Path(folder), recipe, revision, run.hex[:8])
            runs.rename(run, here.branch)
            logger.info("%s at %s", here.branch, here.commit[:7])
            ended = _stages(here, isolated, until)
            if ended is not None and ended.name != runs.FAILED[GATE_FAILED]:
                return ended
            return Completed(message=f"{here.branch} has {until}") if until else _judged(here)
        except UserError as error:
            logger.error("%s", error)
            return runs.failure(error)


def _stages(here: Workspace, isolated: bool, until: str | None) -> State | None:
    """Every stage in turn. The state in which the run ends because of one, or None."""
    wanted = runs.Wanted(runs.run_id())
    names = list(read(here.root / "dvc.yaml")["stages"])
    names = names[: names.index(until) + 1] if until else names
    variables = {name: job_variables(here.root, name) for name in names if isolated}
    staleness = Staleness(here.root)
    for name in names:
        fresh = look.with_options(task_run_name=f"is {name} fresh?")(name, staleness, return_state=True)
        if fresh.name == "Fresh":
            continue
        if not fresh.is_completed():
            return Failed(name="Failed", message=f"{name}: {fresh.message}")
        state = _isolated(name, here, variables[name], wanted) if isolated else _here(name, here)
        if child.received and runs.is_rescheduled(wanted.run):
            raise TerminationSignal(child.received[-1])
        here.refresh()
        if wanted.no_more():
            return Cancelled(message=f"{wanted.reason}; the stages before {name} are on {here.branch}")
        if not state.is_completed():
            said = f"{name}: {state.message or state.name}"
            return State(type=state.type, name=state.name, message=said)
    return None


@task(persist_result=False, cache_policy=NO_CACHE)
def look(name: str, staleness: Staleness) -> State:
    """Whether DVC would run a stage at the branch's tip, and why."""
    reasons = staleness.reasons(name)
    if not reasons:
        get_run_logger().info("%s: fresh", name)
        return Completed(name="Fresh", message="DVC would run nothing")
    get_run_logger().info("%s: stale: %s", name, "; ".join(reasons[:5]))
    return Completed(name="Stale", message="; ".join(reasons)[:2000])


def _here(name: str, here: Workspace) -> State:
    """Run a stage in this process, and again when it crashed of itself."""
    for attempt in count(1):
        state = run_stage(stage=name, branch=here.branch, return_state=True)
        if not state.is_crashed() or child.received or attempt > RESTARTS:
            return state
        get_run_logger().warning("%s: %s; it goes on from its last checkpoint", name, state.message)
        time.sleep(RESTART_SECONDS)
    raise AssertionError


def _isolated(name: str, here: Workspace, variables: Mapping[str, int], wanted: runs.Wanted) -> State:
    """Run a stage by its deployment, with these job variables, and again when it crashed. One that an earlier process
    of this run started, and that goes on, is taken over."""
    deployment = f"stage/{'gpu' if name in ON_GPU else 'cpu'}"
    asked, called, crashes = {"stage": name, "branch": here.branch}, f"{name} of {here.branch}", 0
    for number in count(1):
        key = f"{wanted.run} {here.commit} {name} {number}"
        stage, state = elsewhere.start(deployment, asked, called, key, variables)
        if state.is_final():  # of an earlier process
            continue
        state = elsewhere.ends({stage: state}, wanted)[stage]
        if wanted.reason:
            return Cancelled(message=wanted.reason)
        if not state.is_crashed():
            return state
        time.sleep(RESTART_SECONDS)
        if elsewhere.killed_for_memory(stage):
            told = memory.killed(workspaces() / here.branch / ".understudy" / name)
            return Failed(name=runs.FAILED[OUT_OF_MEMORY], message=f"stage {name} was {told}")
        if (crashes := crashes + 1) > RESTARTS:
            return state
        get_run_logger().warning("%s: %s; it goes on from its last checkpoint", name, state.message)
    raise AssertionError


def _judged(here: Workspace) -> State:
    """How the run ends once every stage is done: by the verdict, which is shown with what led to it."""
    show(here)
    verdict = read_verdict(here.root / PATH)
    if verdict.passed:
        return Completed(message=f"{here.branch} is at {here.commit[:7]}: the student met its bar")
    return Failed(name=runs.FAILED[GATE_FAILED], message="; ".join(verdict.failures()))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.compress", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", help="a name of recipes/ (default: params.yaml as it is committed)")
    parser.add_argument("--revision", default="HEAD", help="branch, tag or commit of the project (default: HEAD)")
    parser.add_argument("--branch", help="go on with this run (runs/...) instead of a new one")
    parser.add_argument("--isolated", action="store_true", help="each stage as a run of its deployment")
    arguments = parser.parse_args(argv)
    asked = (arguments.recipe, arguments.revision, arguments.isolated, arguments.branch)
    return runs.command("compress", lambda: compress(*asked, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
