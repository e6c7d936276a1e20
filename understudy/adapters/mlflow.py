"""MLflow: where its store is and how it is reached. No server is started, and nothing is sent anywhere else."""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.locks import held

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "understudy"
DATABASE = "mlflow.db"  # under ROOT, unless MLFLOW_TRACKING_URI names another store
ARTIFACTS = "mlruns"  # beside it
SQLITE = "sqlite:///"
# How MLflow answers for what is not there, and for a number that is none.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Store:
    """A client of the store, and the experiment that everything goes to."""

    client: "MlflowClient"
    uri: str
    experiment: str


def connect(root: Path) -> Store:
    """The store at MLFLOW_TRACKING_URI, or the SQLite file in `root`, made if need be (once, in about ten seconds).

    Neither MLflow's global address nor its active run is touched. Raises whatever MLflow raises when the store is down.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # MLflow would repeat a request whose answer was lost, one that made a run too, and so make two; and with a server
    # that is down its patience is minutes for each call. Callers here have their own, and ask what has arrived.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{(root / DATABASE).resolve()}"
    # Two processes that meet an empty database would both try to create its tables (the client does, as soon as it is
    # made), and then the experiment.
    folder = folder_of(root, uri)
    with held(folder / ".understudy" / "mlflow.lock"):
        client = MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return Store(client, uri, experiment.experiment_id)
        # A server knows where its artifacts go; without one MLflow would put them into the current folder.
        # `root` may be a workspace, which is removed some day; the files of a database that stays, stay with it.
        location = None if uri.startswith("http") else (folder / ARTIFACTS).resolve().as_uri()
        try:
            return Store(client, uri, client.create_experiment(EXPERIMENT, artifact_location=location))
        except MlflowException as error:
            experiment = client.get_experiment_by_name(EXPERIMENT)  # made on another machine just now
            if experiment is None:
                raise error
            return Store(client, uri, experiment.experiment_id)


def folder_of(root: Path, uri: str) -> Path:
    """Where a store's locks and files lie: beside its SQLite file, which several roots may share, otherwise in root."""
    return Path(uri.removeprefix(SQLITE)).resolve().parent if uri.startswith(SQLITE) else root


def downloaded(store: Store, uri: str, folder: Path) -> Path:
    """What is stored at `uri`, in `folder`. Asked for once more when the connection broke off: `connect` turns
    repetitions off, for the sake of what must not be done twice, and a busy server resets one connection in many.

    Raises what MLflow raises, or an OSError; `is_absent` says which of them mean that nothing is there.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    wanted = {"artifact_uri": uri, "dst_path": str(folder), "tracking_uri": store.uri}
    try:
        return Path(download_artifacts(**wanted))
    except (MlflowException, OSError) as error:
        if is_absent(error):
            raise
    time.sleep(1)
    return Path(download_artifacts(**wanted))


def is_absent(error: Exception) -> bool:
    """Whether a store says that something is not there, and not that it cannot be had now."""
    return isinstance(error, FileNotFoundError) or getattr(error, "error_code", None) in ABSENT
