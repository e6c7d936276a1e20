"""Several budgets as a Prefect flow: `python -m flows.sweep 0.025 0.05 0.1 [--recipe R] [--isolated]`.

What no budget changes (data, judge, teacher) is made once, on the sweep's own branch. Each budget then is a run of its
own that begins there, with its own branch and workspace: side by side as runs of the deployment `compress/pipeline`, or
without --isolated one after another in this process. At the end a table and a drawing of quality over MACs, as
artifacts and in artifacts/sweep on the sweep's branch.
"""

import argparse
import base64
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from understudy.adapters import prefect as runs
from understudy.adapters import prefect_elsewhere as elsewhere

# isort: split
from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed, State

from flows.compress import compress
from understudy.adapters.prefect_artifacts import put
from understudy.adapters.run_branch import join, open_run
from understudy.adapters.sweep_branch import UNITS, gather, open_budget, shared, unit
from understudy.adapters.workspace import Workspace
from understudy.errors import UserError
from understudy.files import write_json, write_text
from understudy.report.pareto import Point, pareto_drawing, pareto_table

PIPELINE = "compress/pipeline"
FOLDER = "artifacts/sweep"
JUDGED = ("Completed", runs.GATE)  # ends of a run that has an evaluation


@flow(name="sweep", persist_result=False)
def sweep(
    budgets: list[float], recipe: str | None = None, revision: str = "HEAD", isolated: bool = False,
    branch: str | None = None,
) -> State:  # fmt: skip
    """Compress to several budgets, in G MACs as the recipe counts them, and set them side by side.

    recipe, revision, isolated: as the flow `compress` takes them. branch: go on with the sweep that made it.
    """
    run, logger = runs.run_id(), get_run_logger()
    wanted = runs.Wanted(run)
    with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        try:
            if len(set(budgets)) < 2:
                raise UserError("a sweep is over two budgets or more, each its own")
            here = join(Path(folder), branch) if branch else open_run(Path(folder), recipe, revision, run.hex[:8])
            runs.rename(run, f"sweep {here.branch}")
            counted = unit(here)
            if last := shared(here):
                state: State = compress(branch=here.branch, isolated=isolated, until=last, return_state=True)
                if not state.is_completed():
                    return State(type=state.type, name=state.name, message=f"what all share: {state.message}")
            here.refresh()
            branches = {budget: open_budget(here, budget) for budget in sorted(set(budgets))}
            names = list(branches.values())
            states = _side_by_side(names, wanted) if isolated else _in_turn(names, wanted)
            if wanted.no_more():
                return Cancelled(message=wanted.reason)
            ended = [(budget, name, str(states[name].name)) for budget, name in branches.items()]
            points = gather(here, ended)
            _tell(here, points, UNITS[counted])
        except UserError as error:
            logger.error("%s", error)
            return runs.failure(error)
    bad = [f"{name}: {end}" for _, name, end in ended if end not in JUDGED]
    if bad:
        return Failed(message="; ".join(bad))
    return Completed(message=f"{len(points)} budgets; {FOLDER} on {here.branch} has the table and the drawing")


def _in_turn(branches: Sequence[str], wanted: runs.Wanted) -> dict[str, State]:
    ended = {}
    for branch in branches:
        ended[branch] = compress(branch=branch, return_state=True)
        if wanted.no_more():
            break
    return ended


def _side_by_side(branches: Sequence[str], wanted: runs.Wanted) -> dict[str, State]:
    """Every branch by the deployment, each in a process or pod of its own. Those that an earlier process of this run
    started are taken over."""
    started = {branch: elsewhere.start(PIPELINE, {"branch": branch, "isolated": True}, branch, f"{wanted.run} {branch}")
               for branch in branches}  # fmt: skip
    states = elsewhere.ends(dict(started.values()), wanted)
    return {branch: states[run] for branch, (run, _) in started.items()}


def _tell(here: Workspace, points: Sequence[Point], counted: str) -> None:
    """Table and drawing: to Prefect, and to the sweep's branch."""
    table, about = pareto_table(points, counted), f"The sweep {here.branch}"
    for line in table.text().splitlines():
        get_run_logger().info("%s", line)
    put(f"sweep-{here.recipe}", about, table.markdown)
    folder = here.root / FOLDER
    write_text(folder / "sweep.md", table.markdown() + "\n")
    students = [{"budget": point.budget, "gate": point.outcome, "student": (point.models or {}).get("student")}
                for point in points]  # fmt: skip
    write_json(folder / "sweep.json", {"unit": counted, "students": students})
    if any(point.models for point in points):
        drawing = str(pareto_drawing(points))
        write_text(folder / "sweep.svg", drawing)
        address = f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"
        put(f"pareto-{here.recipe}", about, lambda: address)
    here.commit_results(f"sweep over {len(points)} budgets")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.sweep", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("budgets", type=float, nargs="+", help="in G MACs, as the recipe counts them")
    parser.add_argument("--recipe", help="a name of recipes/ (default: params.yaml as it is committed)")
    parser.add_argument("--revision", default="HEAD", help="branch, tag or commit of the project (default: HEAD)")
    parser.add_argument("--branch", help="go on with this sweep (runs/...) instead of a new one")
    parser.add_argument("--isolated", action="store_true", help="budgets side by side, by their deployment")
    arguments = parser.parse_args(argv)
    asked = (arguments.budgets, arguments.recipe, arguments.revision, arguments.isolated, arguments.branch)
    return runs.command("sweep", lambda: sweep(*asked, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
