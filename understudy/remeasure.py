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
from understudy.metrics.bootstrap import resample
from understudy.metrics.collapse import find_collapse
from understudy.metrics.inception_scoring import InceptionScoring
from understudy.metrics.judge import load_judge
from understudy.metrics.score import Scorer, differences, observe, observe_real
from understudy.metrics.segmentation_scoring import SegmentationScoring
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

    students: by name. Raises UserError when one is damaged, or takes other inputs than the data at hand.
    """
    asked, seed = scoring.evaluate, scoring.base.seed
    seed_everything(seed)
    place = device(scoring.runtime)
    info = load_info(root / DATASET)
    judge = load_judge((root / JUDGE).parent, info).to(place)
    pairs = load_split(root / TEST_SPLIT, info)
    drawn = resample(info.kind, len(pairs.inputs), len(pairs.photos), asked.resamples, seed)
    scorer = Scorer(info.kind, observe_real(judge, pairs), drawn)
    photos, costs = {}, {}
    for name, student in students.items():
        theirs = load_info(student.dataset)
        if (theirs.kind, theirs.classes, theirs.edges) != (info.kind, info.classes, info.edges):
            raise UserError(f"the {name} translates {theirs.name}, whose inputs are not those of {info.name} at hand")
        arch, net = load_generator(student.arch, student.weights)
        info.require_fit(arch.input_channels, arch.encoding, student.arch)
        photos[name] = translate(net.to(place).eval(), pairs.inputs, arch.encoding, info, place, contextlib.nullcontext)
        counted = cost(arch)
        costs[name] = {"macs_true_g": counted.macs_true / 1e9, "macs_legacy_g": counted.macs_legacy / 1e9,
                       "params_m": counted.params / 1e6}  # fmt: skip
    scores = {name: scorer.score(observe(judge, images, pairs.inputs)) for name, images in photos.items()}
    if asked.segmentation is not None:
        for name, found in SegmentationScoring(asked.segmentation, info).score(photos, pairs, drawn.inputs).items():
            scores[name] |= found
    if asked.inception is not None:
        inception = InceptionScoring(asked.inception, place)
        cache = root / ".understudy/cache"
        for name, found in inception.score(photos, (root / TEST_SPLIT).parent, info, cache, drawn).items():
            scores[name] |= found
    shown = show_inputs(pairs.inputs, info)
    first, *others = students
    return {
        "told": TOLD,
        "kind": info.kind,
        "feature_dims": judge.dims,
        "models": {
            name: {
                **{metric: found.plain() for metric, found in scores[name].items()},
                **{metric: {"value": value} for metric, value in costs[name].items()},
            }
            for name in students
        },
        "differences": {
            f"{first}_minus_{other}": {
                metric: found.plain() for metric, found in differences(scores[first], scores[other]).items()
            }
            for other in others
        },
        "collapse": {name: find_collapse(images, shown, pairs.photos, info.kind) for name, images in photos.items()},
    }
