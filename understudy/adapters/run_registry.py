"""Which registry a run's student goes to: never the one of its workspace, which is removed when the run is over."""

import os
from pathlib import Path

from understudy.adapters.mlflow import connect
from understudy.adapters.workspace import repository
from understudy.errors import UserError


def lead_to_registry() -> None:
    """Where MLFLOW_TRACKING_URI names none, set it for this process to mlflow.db in the repository's own folder.

    Raises UserError when the repository is elsewhere, or nobody's working folder: nobody would find a registry there.
    """
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return
    origin = Path(repository())
    if not (origin / ".dvc").is_dir():
        raise UserError(f"MLFLOW_TRACKING_URI is not set, and {origin} is no working folder whose mlflow.db could be "
                        "the registry; set it to the address of an MLflow server")  # fmt: skip
    # Made there if need be, so that the files of what is registered lie there too.
    os.environ["MLFLOW_TRACKING_URI"] = connect(origin).uri
