"""What a run has found, as Prefect's artifacts: one history for each kind and recipe, in the order of the runs."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.logging import get_run_logger

from understudy.adapters import remote_data
from understudy.adapters.workspace import Workspace, repository, workspaces
from understudy.errors import UserError, in_one_line
from understudy.files import read_json
from understudy.gate import EVALUATION
from understudy.params.loader import load
from understudy.params.registry import Registry
from understudy.report.tables import Table, tables, verdict_table
from understudy.verdict import PATH, read_verdict

SAMPLES = "artifacts/evaluate/samples.png"


def show(here: Workspace) -> None:
    """Verdict, metrics, samples and links of a run that has been judged. What cannot be had is said and left out."""
    logger = get_run_logger()

    def tell(kind: str, about: str, make: Callable[[], str]) -> None:
        put(f"{kind}-{here.recipe}", about, make)

    try:
        remote_data.pull_files(here.root, [EVALUATION, SAMPLES], logger.info)
    except UserError as error:
        logger.warning("%s", error)
    about = f"of {here.branch} at {here.commit[:7]}"
    tell("verdict", f"The gate's verdict {about}", lambda: verdict_table(read_verdict(here.root / PATH)).markdown())
    if (here.root / EVALUATION).exists():
        tell("metrics", f"Teacher, student and baseline {about}", lambda: _metrics(here.root))
    if os.environ.get("MLFLOW_TRACKING_URI"):
        tell("champion", f"The student {about} beside the champion", lambda: _beside_champion(here.root))
    if (here.root / SAMPLES).exists():
        tell("samples", f"Test images, real and by every model, {about}", lambda: _picture(here.root / SAMPLES))
    tell("links", f"Where to look {about}", lambda: _links(here))


def put(key: str, about: str, make: Callable[[], str]) -> None:
    """An artifact of the flow run that this is called in: Markdown, or an image by its data: address.

    Whatever goes wrong, the run's outcome is not changed by what only shows it.
    """
    key = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    try:
        made = make()
        if made.startswith("data:"):
            create_image_artifact(made, key=key, description=about)
        else:
            create_markdown_artifact(made, key=key, description=about)
    except Exception as error:
        get_run_logger().warning("no artifact %s: %s", key, in_one_line(error) or type(error).__name__)


def _metrics(root: Path) -> str:
    return "\n\n".join(table.markdown() for table in tables(read_json(root / EVALUATION), None))


def _beside_champion(root: Path) -> str:
    """The student's metrics and those that the registry has of the champion."""
    from understudy.adapters.registry import CHAMPION, METRIC_TAG, aliases, registry, version_of

    model = load(root / "params.yaml", (Registry,))[Registry].model
    with registry(root) as store:
        number = aliases(store, model).get(CHAMPION)
        if number is None:
            return f"{model} has no champion yet"
        tags = version_of(store, model, number).tags
    rows = []
    for name, value in read_verdict(root / PATH).metrics.items():
        held = tags.get(METRIC_TAG + name)
        change = "-" if held is None else f"{value - float(held):+.4g}"
        rows.append((name, f"{value:.4g}", "-" if held is None else f"{float(held):.4g}", change))
    title = f"The student beside {model} version {number}, the champion, by the numbers that it was registered with"
    return Table(title, ("metric", "student", "champion", "difference"), tuple(rows)).markdown()


def _picture(path: Path) -> str:
    import numpy as np
    from PIL import Image

    from understudy.report.pictures import data_uri

    with Image.open(path) as image:
        return data_uri(np.asarray(image.convert("RGB")))


def _links(here: Workspace) -> str:
    """Markdown: where everything of it is; of MLflow, what it has where one is named and answers."""
    tracking, pages, place = os.environ.get("MLFLOW_TRACKING_URI", ""), dict[str, str](), workspaces() / here.branch
    if tracking and os.environ.get("UNDERSTUDY_TRACKING") != "off":
        from understudy.adapters.run_pages import keep_pages

        try:
            pages = keep_pages(here.branch, place if place.exists() else here.root)
        except Exception as error:  # of a tracker that is down, or a page that cannot be drawn
            get_run_logger().warning("MLflow has no pages of %s: %s", here.branch, in_one_line(error))
    elsewhere = {
        "report": f"`git fetch origin && git checkout {here.branch} && dvc pull && understudy report`",
        "Data Docs": f"`{place}/.understudy/check/data_docs/index.html`",
    }
    lines = [f"- results: branch `{here.branch}`, commit `{here.commit}` of {_link(repository())}"]
    lines += [f"- {name}: {_link(pages[name]) if name in pages else where}" for name, where in elsewhere.items()]
    trainings = pages.keys() - elsewhere.keys()
    lines += [f"- training of {name}: {_link(pages[name])}" for name in pages if name in trainings]
    if tracking and not trainings:
        lines.append(f"- training runs: {_link(tracking)}")
    return "\n".join(lines)


def _link(address: str) -> str:
    """Without whatever stands before an @, which may be somebody's key."""
    shown = re.sub(r"//[^/@]*@", "//", address)
    return f"[{shown}]({shown})" if shown.startswith("http") else f"`{shown}`"
