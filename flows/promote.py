"""Promotion as a Prefect flow: `python -m flows.promote [--branch runs/...] [--again]`.

The student of a run branch (by default of the newest) is registered and made champion, if it may be, by the same code
as `understudy registry promote`. A refusal is the state Failed, "Refused", with every reason.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from understudy.adapters import prefect as runs

# isort: split
from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State

from understudy.adapters import promoting, remote_data
from understudy.adapters.prefect_artifacts import put
from understudy.adapters.registry_views import showing
from understudy.adapters.run_branch import newest
from understudy.adapters.run_registry import lead_to_registry
from understudy.adapters.workspace import Workspace, workspace
from understudy.errors import GATE_FAILED, UserError
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.gate import Gate
from understudy.params.loader import load, read
from understudy.params.registry import Registry
from understudy.params.runtime import Runtime
from understudy.params.scoring import Scoring

READS = ("evaluate", "gate")  # stages: what they depend on and what is at hand after them is what promotion looks at


@flow(name="promote", persist_result=False)
def promote(branch: str | None = None, again: bool = False) -> State:
    """Register the student of a run and make it champion, if its verdict and the champion allow it.

    branch: runs/..., by default the one that was worked on last. again: although the version was rolled back from.
    """
    run, logger = runs.run_id(), get_run_logger()
    try:
        if branch is None:
            with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
                branch = newest(Path(folder))
        runs.rename(run, f"promote {branch}")
        with workspace(branch, str(runs.parent_of(run) or run), f"promote {branch}") as here:
            bring(here, logger.info)
            return _promoted(here, again)
    except UserError as error:
        logger.error("%s", error)
        return runs.failure(error)


def bring(here: Workspace, said: remote_data.Said) -> None:
    """Have what promotion and verification read of the run at hand, and the registry that they are about."""
    graph = read(here.root / "dvc.yaml")["stages"]
    for stage in READS:
        if stage in graph:
            remote_data.pull(here.root, stage, said)
    lead_to_registry()


def judging(root: Path) -> tuple[Registry, Gate, Scoring]:
    """The registry, the policy, and how students are measured, by the parameters of the run at `root`."""
    found = load(root / "params.yaml", (Registry, Gate, Base, Runtime, Evaluate))
    return found[Registry], found[Gate], Scoring(found[Base], found[Runtime], found[Evaluate])


def _promoted(here: Workspace, again: bool) -> State:
    registry, gate, scoring = judging(here.root)
    about = f"of the student {here.branch} at {here.commit[:7]}"
    key = f"promotion-{registry.model}"
    try:
        done = promoting.promote(here.root, registry, gate, scoring, again)
    except UserError as error:
        if error.code != GATE_FAILED:
            raise
        said = str(error)
        put(key, f"Refusal {about}", lambda: f"```\n{said}\n```")
        get_run_logger().error("%s", said)
        return Failed(name=runs.REFUSED, message=said.replace(":\n  ", ": ").replace("\n  ", "; "))
    put(key, f"Promotion {about}", lambda: f"```\n{showing(here.root, registry, done.version)}```")
    replaced = f", in place of version {done.replaced}" if done.replaced else ""
    said = f"champion: {done.model} version {done.version}{' (new)' if done.registered else ''}{replaced}"
    return Completed(message="; ".join((said, *done.notes)))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.promote", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--branch", help="a run (runs/...; default: the newest)")
    parser.add_argument("--again", action="store_true", help="although the version was rolled back from")
    arguments = parser.parse_args(argv)
    return runs.command("promote", lambda: promote(arguments.branch, arguments.again, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
