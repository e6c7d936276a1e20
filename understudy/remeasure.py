"""Students measured anew: on the test split at hand, by the judge at hand, by the code that evaluates.

What comes out is built like evaluation.json, so that the gate reads it: a student against the champion on the very
same images and resamples, or one registered version against what was once written of it.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.cost import cost
from understudy.data.prepared import load_info, load_split, show_inputs
from understudy.errors import DATA_FAILED, UserError
from understudy.files import sha256
from understudy.gate import DATASET, JUDGE, TEST_SPLIT
from understudy.measure import peak_activation_bytes
from understudy.metrics.collapse import find_collapse
from understudy.metrics.jury import TEACHER, Jury
from understudy.metrics.score import differences, plain
from understudy.params.scoring import Scoring
from understudy.runtime import device, seed_everything
from understudy.train.validation import translate
from understudy.weights import load_generator

TOLD = "measured anew"


@dataclass(frozen=True)
class Files:
    """Of one student: arch.json, weights.safetensors and the dataset.json that it was made with."""

    arch: Path
    weights: Path
    dataset: Path


def require_data(root: Path, data_sha256: str, judge_sha256: str, subject: str) -> None:
    """Raise UserError with code DATA_FAILED unless ROOT has the test split and the judge of those SHA-256."""
    for path, wanted, stage in ((TEST_SPLIT, data_sha256, "prepare"), (JUDGE, judge_sha256, "judge")):
        if not (root / path).is_file():
            raise UserError(f"{root / path}: missing, and {subject} is measured with it; run `dvc pull {stage}` or "
                            f"`dvc repro {stage}`", DATA_FAILED)  # fmt: skip
        if (found := sha256(root / path)) != wanted:
            raise UserError(f"{root / path}: has SHA-256 {found[:12]}…, {subject} was measured with {wanted[:12]}…; "
                            "check out the commit that it came from", DATA_FAILED)  # fmt: skip


def measure(root: Path, scoring: Scoring, students: Mapping[str, Files]) -> dict[str, Any]:
    """Every metric of every student, and of the first less each of the others.

    students: by name; where one is called TEACHER, the distance to it is measured too. Raises UserError when one is
    damaged, or takes other inputs than the data at hand.
    """
    seed = scoring.base.seed
    seed_everything(seed)
    place = device(scoring.runtime)
    info = load_info(root / DATASET)
    jury = Jury((root / JUDGE).parent, scoring.evaluate, seed, info, place)
    pairs = load_split(root / TEST_SPLIT, info)
    photos, costs = {}, {}
    for name, student in students.items():
        theirs = load_info(student.dataset)
        if (theirs.kind, theirs.classes, theirs.edges) != (info.kind, info.classes, info.edges):
            raise UserError(f"the {name} translates {theirs.name}, whose inputs are not those of {info.name} at hand")
        arch, net = load_generator(student.arch, student.weights)
        info.require_fit(arch.input_channels, arch.encoding, student.arch)
        photos[name] = translate(net.to(place).eval(), pairs.inputs, arch.encoding, info, place, contextlib.nullcontext)
        counted = cost(arch)
        peak = peak_activation_bytes(net, (1, arch.input_channels, *arch.size))
        costs[name] = {"macs_true_g": counted.macs_true / 1e9, "macs_legacy_g": counted.macs_legacy / 1e9,
                       "params_m": counted.params / 1e6, "peak_activation_mb": peak / 1e6,
                       "file_mb": student.weights.stat().st_size / 1e6}  # fmt: skip
    scores = {name: score.metrics for name, score in jury.score(photos, pairs, root, photos.get(TEACHER)).items()}
    shown = show_inputs(pairs.inputs, info)
    first, *others = students
    return {
        "told": TOLD,
        "kind": info.kind,
        "feature_dims": jury.judge.dims,
        "models": {
            name: {
                **plain(scores[name]),
                **{metric: {"value": value} for metric, value in costs[name].items()},
            }
            for name in students
        },
        "differences": {f"{first}_minus_{other}": plain(differences(scores[first], scores[other])) for other in others},
        "collapse": {name: find_collapse(images, shown, pairs.photos, info.kind) for name, images in photos.items()},
    }
