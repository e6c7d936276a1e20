"""What a run has found, as Prefect's artifacts: one history for each kind and recipe, in the order of the runs."""

import re

from prefect.artifacts import create_markdown_artifact

from understudy.adapters.workspace import PREFIX, Workspace
from understudy.report.tables import verdict_table
from understudy.verdict import PATH, headline, read_verdict


def show(here: Workspace) -> None:
    """Verdict, metrics, samples and links of a run that has been judged. What cannot be had is said and left out."""
    create_markdown_artifact(_verdict(here), _key("verdict", here), f"The gate's verdict of {here.branch}")


def _verdict(here: Workspace) -> str:
    verdict = read_verdict(here.root / PATH)
    return f"{headline(verdict)}\n\n{verdict_table(verdict).markdown()}"


def _key(kind: str, here: Workspace) -> str:
    """The recipe's history: runs/RECIPE-COMMIT-ID."""
    recipe = here.branch.removeprefix(PREFIX).rsplit("-", 2)[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{kind}-{recipe}".lower()).strip("-")
