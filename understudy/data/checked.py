"""The mark that `check` leaves on data that met its expectations, and the question whether these are that data.

DVC runs `check` again whenever the data change. Stages that are run by hand ask here.
"""

from pathlib import Path
from typing import Any

from understudy.errors import DATA_FAILED, UserError
from understudy.files import read_json, sha256
from understudy.stage import Job

RESULT = "check/result.json"
# The manifest holds a hash of every pair, so these two stand for all that is trained on.
MARKED = ("prepare/manifest.csv", "prepare/dataset.json")


def mark(job: Job) -> dict[str, str]:
    """Name under artifacts/ -> SHA-256 of what describes the data. Raises UserError when one is missing."""
    return {name: sha256(job.input(name)) for name in MARKED}


def require_checked(job: Job) -> Path:
    """The path of check's result. Raises UserError, code DATA_FAILED, when it speaks of other data than are there."""
    path = job.input(RESULT)
    result: Any = read_json(path)
    if not isinstance(result, dict) or result.get("data") != mark(job):
        raise UserError(
            f"{path}: is about other data than artifacts/prepare holds now; "
            "`dvc repro check` (or `python -m stages.check`) checks them",
            DATA_FAILED,
        )
    return path
