"""A registered version evaluated anew, with the data and the judge of ROOT: all that its verdict rests on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy import verdict as verdicts
from understudy.adapters.registry import NETWORK, Registered
from understudy.errors import UserError
from understudy.export.record import FILES as EXPORTED
from understudy.files import read_json, sha256
from understudy.gate import STUDENT_MODEL
from understudy.params.gate import EVALUATED
from understudy.params.scoring import Scoring
from understudy.promotion import evaluation_not_reproduced
from understudy.remeasure import Files, measure, require_data


@dataclass(frozen=True)
class Again:
    """evaluation, exports: what does not come out again of the two, each in a sentence; None: there are no exported
    files, or they were not looked at. notes: what was not measured. unmeasured: why nothing could be, or None.
    """

    evaluation: tuple[str, ...] = ()
    exports: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    unmeasured: str | None = None


def measured_again(root: Path, scoring: Scoring, got: Registered) -> Again:
    """Measure what the gate's verdict rests on. Raises KeyError and the like where the evaluation is none."""
    then = read_json(got.files["evaluation"])
    try:
        data, judged_by = got.tags.get("data_sha256", "unknown"), got.tags.get("judge_sha256", "unknown")
        require_data(root, data, judged_by, f"version {got.version}")
        others, wrong, notes = _compared(root, got, then)
        measured = measure(root, scoring, {STUDENT_MODEL: _student(got), **others})
    except UserError as error:
        return Again(unmeasured=str(error))
    wrong += evaluation_not_reproduced(then, measured)
    exports, unseen = _exports(root, got)
    return Again(tuple(wrong), exports, (*notes, *unseen))


def _student(got: Registered) -> Files:
    return Files(*(got.files[name] for name in NETWORK))


def _compared(root: Path, got: Registered, then: Any) -> tuple[dict[str, Files], list[str], list[str]]:
    """The models that the student was compared with, of which ROOT holds the very weights; what is wrong; notes.

    then: the evaluation.
    """
    named = verdicts.read_verdict(got.files["verdict"]).files
    found: dict[str, Files] = {}
    wrong, notes = [], []
    for model in EVALUATED:
        if model not in then["models"]:
            continue
        paths = [f"artifacts/{model}/{file}" for file in ("arch.json", "weights.safetensors")]
        if not all(path in named for path in paths):
            wrong.append(f"it compares with a {model} and does not name its files")
        elif all((root / path).is_file() and sha256(root / path) == named[path] for path in paths):
            found[model] = Files(root / paths[0], root / paths[1], got.files["dataset"])
        else:
            notes.append(f"the {model} was not measured anew: {root} does not hold the {model} that its verdict names")
    return found, wrong, notes


def _exports(root: Path, got: Registered) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """What is wrong with the exported files; and why they were not looked at."""
    files = {name: got.files[name] for name in EXPORTED if name in got.files}
    if not files:
        return None, ()
    try:
        from understudy.export.recompare import unlike
    except ImportError as error:
        return None, (f"its exported files were not compared with it ({error}); `pip install understudy[export]`",)
    record = read_json(got.files["export"]) if "export" in got.files else {}
    return tuple(unlike(root, _student(got), files, record)), ()
