"""The whole parameter file: every section there is, for whoever must know that a file is complete."""

from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.params.base import Base
from understudy.params.check import Check
from understudy.params.distill import Distill
from understudy.params.evaluate import Evaluate
from understudy.params.export import Export
from understudy.params.gate import Gate
from understudy.params.judge import Judge
from understudy.params.loader import load, read, section_name
from understudy.params.objective import Objective
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.registry import Registry
from understudy.params.runtime import Runtime
from understudy.params.student import Student
from understudy.params.teacher import Teacher

SECTIONS: tuple[type, ...] = (
    Base, Runtime, Prepare, Check, Judge, Objective, Teacher, Prune, Student, Distill, Evaluate, Export, Gate, Registry,
)  # fmt: skip


def load_all(path: Path) -> dict[type, Any]:
    """Read every section of a parameter file; one instance by type.

    A stage reads only its own sections; this also refuses what no stage would ever read, and a gate that asks for a
    metric of another kind of data, before anything is trained. Raises UserError naming the file and the key.
    """
    known = [section_name(section) for section in SECTIONS]
    if unknown := sorted(str(key) for key in read(path) if key not in known):
        raise UserError(f"{path}: unknown section {', '.join(unknown)}; known sections: {', '.join(known)}")
    found = load(path, SECTIONS)
    found[Gate].require_fits(found[Prepare].kind)
    return found
