"""A night as a Prefect flow: `python -m flows.nightly [--recipe R] [--revision REV] [--isolated]`.

New data is fetched, the pipeline runs as far as anything is stale, a student that met its bar is promoted, and the
champion is verified, whatever became of the rest. One branch for each recipe and commit, runs/RECIPE-COMMIT-nightly:
what a night has made is fresh in the next. docs/flows.md says how new data is noticed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy.adapters import prefect as runs

# isort: split
from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed, State

from flows.compress import compress
from flows.promote import bring, judging, promote
from understudy.adapters import new_data
from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.night_branch import changed_by, open_night, where_made
from understudy.adapters.prefect_artifacts import put
from understudy.adapters.registry import registry, versions
from understudy.adapters.run_registry import lead_to_registry
from understudy.adapters.workspace import Workspace, workspace
from understudy.errors import UserError
from understudy.params.loader import load
from understudy.params.registry import Registry
from understudy.report.tables import Table

WELL = "well"


@dataclass(frozen=True)
class Step:
    """A row of the night's table. outcome: a word. said: the rest. state: in which the night ends, if because of it."""

    name: str
    outcome: str
    said: str
    state: str | None = None


@flow(name="nightly", persist_result=False)
def nightly(recipe: str | None = None, revision: str = "HEAD", isolated: bool = False) -> State:
    """Take in new data, compress, promote, verify. recipe, revision, isolated: as the flow `compress` takes them."""
    run, logger = runs.run_id(), get_run_logger()
    with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        try:
            here = open_night(Path(folder), recipe, revision)
            runs.rename(run, here.branch)
        except UserError as error:
            logger.error("%s", error)
            return runs.failure(error)
        before = here.commit
        steps = [_data(here, run)]
        if steps[0].state is None:
            state: State = compress(branch=here.branch, isolated=isolated, return_state=True)
            here.refresh()
            if runs.Wanted(run).no_more() or state.is_cancelled():
                return Cancelled(message=state.message)
            steps.append(_pipeline(state, changed_by(here, before)))
        if steps[-1].state is None:
            state = promote(branch=here.branch, return_state=True)
            named = None if state.is_completed() else state.name
            steps.append(Step("promotion", WELL if named is None else str(named), str(state.message), named))
        steps.append(_champion(here))
        return _told(here, steps)


def _data(here: Workspace, run: object) -> Step:
    """Fetch what DVC imports from elsewhere; what else is new, DVC finds when it is asked what is stale."""
    try:
        with workspace(here.branch, str(run), f"new data of {here.branch}") as place:
            said = new_data.fetch(place, get_run_logger().info)
        here.refresh()
    except UserError as error:
        get_run_logger().error("%s", error)
        return Step("data", "failed", str(error), runs.failure(error).name)
    return Step("data", WELL, said)


def _pipeline(state: State, changed: Sequence[str]) -> Step:
    made = f"made anew: {', '.join(changed)}" if changed else "nothing was stale"
    if state.is_completed():
        return Step("pipeline", WELL, made)
    return Step("pipeline", str(state.name), f"{state.message} ({made})", state.name)


def _champion(here: Workspace) -> Step:
    """Verify the champion with data, judge and parameters of the run that made it, where that can be had."""
    from understudy.adapters import verifying  # and with it torch, which who deploys this flow has no room for

    logger = get_run_logger()
    try:
        lead_to_registry()
        model = load(here.root / "params.yaml", (Registry,))[Registry].model
        with registry(here.root) as store:
            if not versions(store, model) and LedgerStore.find(store, model) is None:
                return Step("champion", "none", f"nothing is registered as {model}")
        champion = verifying.champion(here.root, model)
        lock = champion.tags.get("dvc_lock_sha256", "") if champion else ""
        with where_made(here, lock) as place:
            bring(place, logger.info)
            _, gate, scoring = judging(place.root)
            found = verifying.verify(place.root, Registry(model), gate, scoring, None)
    except UserError as error:
        logger.error("%s", error)
        return Step("champion", "not verified", str(error), runs.failure(error).name)
    name = f"version {found.version}"
    wrong = [f"{check.what}: {said}" for check in found.checks for said in check.wrong]
    if wrong:
        return Step("champion", runs.CHAMPION_WRONG, f"{name}: {'; '.join(wrong)}", runs.CHAMPION_WRONG)
    if found.unmeasured:
        return Step("champion", "not measured", f"{name}: its files are as promoted; {found.unmeasured}")
    return Step("champion", WELL, f"{name}: its files are as promoted, its numbers come out again")


def _told(here: Workspace, steps: Sequence[Step]) -> State:
    """The table of the night, and the state that says the worst of it: a champion that is not what was promoted."""
    rows = tuple((step.name, step.outcome, step.said) for step in steps)
    put(f"night-{here.recipe}", f"The night of {here.branch} at {here.commit[:7]}",
        lambda: Table("The night", ("step", "outcome", "what"), rows).markdown())  # fmt: skip
    for row in rows:
        get_run_logger().info("%s: %s: %s", *row)
    bad = [step for step in reversed(steps) if step.state is not None]
    if not bad:
        return Completed(message="; ".join(f"{step.name}: {step.said}" for step in steps))
    worst = next((step for step in bad if step.state == runs.CHAMPION_WRONG), bad[-1])
    told = [worst, *(step for step in bad if step is not worst)]
    return Failed(name=worst.state, message="; ".join(f"{step.name}: {step.said}" for step in told))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.nightly", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", help="a name of recipes/ (default: params.yaml as it is committed)")
    parser.add_argument("--revision", default="HEAD", help="branch, tag or commit of the project (default: HEAD)")
    parser.add_argument("--isolated", action="store_true", help="each stage as a run of its deployment")
    arguments = parser.parse_args(argv)
    asked = (arguments.recipe, arguments.revision, arguments.isolated)
    return runs.command("nightly", lambda: nightly(*asked, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
