"""What MLflow has of a run branch, by addresses that a person can open: its trainings, and a run of its own with the
report and the Data Docs of its check."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from understudy import child
from understudy.adapters.dvc import environment
from understudy.adapters.mlflow import Store, connect
from understudy.adapters.tracking import find
from understudy.errors import UNEXPECTED, UserError
from understudy.tail import Tail
from understudy.train.log import NAME

PAGES = "UNDERSTUDY_MLFLOW_PAGES"  # where people open MLflow, if that is not where the pipeline reaches it
BRANCH = "understudy.branch"  # tag of the branch's own run
REPORT, DATA_DOCS = "report.html", "data_docs"
CHECKED = Path(".understudy/check/data_docs")


def keep_pages(branch: str, root: Path) -> dict[str, str]:
    """Put report and Data Docs of the workspace at `root` into MLflow; the addresses by what is there.

    "report", "Data Docs" where the data was checked in this workspace, and each stage whose training was logged here.
    Raises whatever MLflow raises, and UserError when the report cannot be rendered.
    """
    store = connect(root)
    with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        page = Path(folder) / REPORT
        _render(root, page)
        run = _own_run(store, branch)
        store.client.log_artifact(run, str(page))
    found = {"report": address(store, run, REPORT)}
    if (root / CHECKED / "index.html").exists():
        store.client.log_artifacts(run, str(root / CHECKED), DATA_DOCS)
        found["Data Docs"] = address(store, run, f"{DATA_DOCS}/index.html")
    store.client.set_terminated(run, "FINISHED")
    return found | {stage: address(store, training) for stage, training in _trainings(store, root).items()}


def address(store: Store, run: str, file: str = "") -> str:
    """Of a run's page, or of one of its files there."""
    pages = os.environ.get(PAGES) or store.uri
    return f"{pages.rstrip('/')}/#/experiments/{store.experiment}/runs/{run}{f'/artifacts/{file}' if file else ''}"


def _render(root: Path, page: Path) -> None:
    """In a process of its own, which takes what it needs of torch with it when it ends."""
    arguments = ["report", "--root", str(root.resolve()), "--output", str(page)]
    code = f"import sys, understudy.cli; sys.exit(understudy.cli.main({arguments!r}))"
    lines: list[str] = []
    if ended := child.run([sys.executable, "-c", code], root, environment(), lines.append):
        raise UserError(f"`understudy report` ended with code {ended}: {' '.join(lines[-3:])}", UNEXPECTED)


def _own_run(store: Store, branch: str) -> str:
    """The branch's: the same one however often it is shown."""
    found = store.client.search_runs([store.experiment], f"tags.`{BRANCH}` = '{branch}'", max_results=1)
    run = found[0] if found else store.client.create_run(store.experiment, tags={BRANCH: branch}, run_name=branch)
    return str(run.info.run_id)


def _trainings(store: Store, root: Path) -> Mapping[str, str]:
    """The newest run of each stage that has a training's log here, as far as it was delivered."""
    found = {}
    for log in sorted((root / ".understudy").glob(f"*/*/{NAME}"), key=lambda log: log.stat().st_mtime):
        start = next((record for record in Tail(log).read() if record["event"] == "start"), None)
        if start and (run := find(store, start)):
            found[start["stage"]] = str(run.info.run_id)
    return found
