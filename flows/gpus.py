"""The GPUs and nodes that a stage's Job asks for: a GPU for each process that shares its training.

How many processes those are is the recipe's to say (`schedule.processes`, docs/large-batches.md); how many GPUs a node
has is the cluster's: UNDERSTUDY_GPUS_PER_NODE, by default as many as are asked for.
"""

import os
from pathlib import Path

from understudy.errors import UserError
from understudy.params.loader import load, section_name
from understudy.params.student import Student
from understudy.params.teacher import Teacher

PER_NODE = "UNDERSTUDY_GPUS_PER_NODE"
SCHEDULES = {"teacher": Teacher, "distill": Student, "baseline": Student}  # by stage, the section with its schedule


def job_variables(root: Path, stage: str) -> dict[str, int]:
    """Of the pool understudy-gpu, for a stage of the project at `root`; none where one GPU is right, its default.

    Raises UserError, naming the parameter, for processes that do not fill their nodes.
    """
    if (section := SCHEDULES.get(stage)) is None:
        return {}
    path = root / "params.yaml"
    processes = load(path, (section,))[section].schedule.processes or 1
    if processes == 1:
        return {}
    given = os.environ.get(PER_NODE, "").strip() or str(processes)
    if not given.isdecimal() or not int(given):
        raise UserError(f"{PER_NODE}: {given}: must be the number of GPUs that a node has")
    each = min(int(given), processes)
    if processes % each:
        raise UserError(f"{path.name}: {section_name(section)}.schedule.processes: {processes} do not fill nodes of "
                        f"{each} GPUs ({PER_NODE}); take a multiple of {each}")  # fmt: skip
    return {"nodes": processes // each, "gpus": each}
