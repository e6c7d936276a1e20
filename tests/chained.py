"""The shrunk pipeline in this process: every stage one after the other on one folder, without DVC, git or processes.

That saves each stage its start and what DVC asks of its files. What DVC sees is test_pipeline.py's to show.
"""

import contextlib
import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from shrunk import SIZE, draw_few, shrink

from understudy.graph import STAGES
from understudy.params.loader import load
from understudy.stage import Job


def shrunk(
    repo: Path,
    root: Path,
    size: tuple[int, int] = SIZE,
    objective: str = "pix2pix",
    instances: bool = False,
    **teacher: object,
) -> dict[str, Any]:
    """The shrunk parameters, as shrunk.make leaves them, with the drawn set's description beside them in `root`."""
    values = shrink(yaml.safe_load((repo / "params.yaml").read_text()), size, objective, instances, **teacher)
    draw_few(repo, root, values["prepare"]["source"])
    shutil.copy(repo / "dvc.yaml", root)  # by which the report knows what stages make
    return values


def run_all(root: Path, values: Mapping[str, Any]) -> None:
    """Plan and run every stage with these parameters. Raises UserError, as the stage does that fails."""
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    with contextlib.chdir(root):  # which paths in parameters are relative to
        for name in STAGES:
            stage = importlib.import_module(f"stages.{name}")
            job = job_of(stage, root)
            stage.plan(job)
            stage.run(job)


def job_of(stage: ModuleType, root: Path, params: str = "params.yaml") -> Job:
    return Job(stage.__name__.removeprefix("stages."), root, load(root / params, stage.READS))
