"""evaluate: teacher, student and baseline on the test split, by the same code on the same images.

Makes    artifacts/evaluate/: evaluation.json (everything, with intervals), metrics.json (values alone, for
         `dvc metrics`), resamples.safetensors (behind the intervals, for export to compare with), classes.csv (IoU by
         class, a header alone where there are none), samples.png; and .understudy/evaluate/latency.json, which is no
         output of the graph: it belongs to a machine and a moment
Reads    artifacts/prepare, artifacts/judge, artifacts/{teacher,distill,baseline}; params base, runtime, evaluate; and
         Inception's weights where evaluate.inception names them, kept with what they see in real photos outside the
         graph: in the user's cache folder and in .understudy/cache
Run      dvc repro evaluate, or python -m stages.evaluate [--params FILE] [--root DIR] [--dry-run]
Takes    about a minute and a half for 1,000 test images of 64 px on one CPU core, a third of it for the intervals;
         with Inception ten more (docs/metrics.md)
Networks run in fp32, whatever precision they were trained in: that is what ships.
"""

import contextlib
import csv
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from understudy.arch.base import Arch
from understudy.cost import cost
from understudy.data.prepared import (
    DatasetInfo,
    Split,
    blank_inputs,
    encode_inputs,
    load_info,
    load_split,
    show_inputs,
)
from understudy.examples import example_columns, examples
from understudy.files import atomic, sha256, write_json
from understudy.grid import write_grid
from understudy.measure import latency_ms, peak_activation_bytes
from understudy.metrics.collapse import find_collapse
from understudy.metrics.jury import REAL, TEACHER, Jury, Score
from understudy.metrics.resamples import save_resamples
from understudy.metrics.score import differences, observe, plain
from understudy.models.generator import Generator
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.runtime import Runtime
from understudy.runtime import determinism, device, seed_everything, threads
from understudy.stage import Job, Plan, main
from understudy.train.validation import translate
from understudy.weights import load_generator

READS = (Base, Runtime, Evaluate)
MODELS = {TEACHER: "teacher", "student": "distill", "baseline": "baseline"}  # name: the stage that made it
TIMED = 16  # images, to tell how long the test split will take


@dataclass(frozen=True)
class Scene:
    """What is scored, and by whom. models: architecture and network by name."""

    info: DatasetInfo
    jury: Jury
    models: Mapping[str, tuple[Arch, Generator]]
    device: torch.device


@functools.cache  # the plan and the run of one job look at the same one
def scene(job: Job) -> Scene:
    """Everything loaded. Raises UserError when a network is missing, damaged, or of data with other classes."""
    seed_everything(job.params(Base).seed)
    place = device(job.params(Runtime))
    info = load_info(job.input("prepare/dataset.json"))
    models = {}
    for name, stage in MODELS.items():
        path = job.input(f"{stage}/arch.json")
        arch, net = load_generator(path, job.input(f"{stage}/weights.safetensors"))
        info.require_fit(arch.input_channels, arch.encoding, path)
        models[name] = (arch, net.to(place).eval())
    folder = job.input("judge/judge.json").parent
    jury = Jury(folder, job.params(Evaluate), job.params(Base).seed, info, place)
    return Scene(info, jury, models, place)


def plan(job: Job) -> Plan:
    ready = scene(job)
    info, segmentation = ready.info, ready.jury.segmentation
    seconds = _seconds(ready, job.params(Evaluate))
    counted = {name: cost(arch) for name, (arch, _) in ready.models.items()}
    return {
        "test images": info.count_text("test"),
        "size": "x".join(map(str, info.size)),
        **{
            f"MACs.{name}": f"{costs.macs_true / 1e9:.4f} G true, {costs.macs_legacy / 1e9:.4f} G legacy"
            for name, costs in counted.items()
        },
        **({"metrics by segmentation": ", ".join(segmentation.names)} if segmentation else {}),
        "device": f"{ready.device}, {threads()} threads",
        "expected time": f"{seconds:.0f} s (a batch, just timed), and the intervals' resampling",
    }


def run(job: Job) -> None:
    ready = scene(job)
    info, models = ready.info, ready.models
    pairs = load_split(job.input("prepare/test.zip"), info)
    photos = {
        name: translate(net, pairs.inputs, arch.encoding, info, ready.device, contextlib.nullcontext)
        for name, (arch, net) in models.items()
    }
    print("evaluate: translated the test split; scoring", flush=True)
    scores = ready.jury.score({**photos, REAL: pairs.photos}, pairs, job.root, photos[TEACHER])
    shown = show_inputs(pairs.inputs, info)
    collapse = {name: find_collapse(images, shown, pairs.photos, info.kind) for name, images in photos.items()}
    for name, failure in collapse.items():
        if failure:
            print(f"evaluate: {name}: {failure}")
    evaluation = _evaluation(job, ready, scores, collapse)
    write_json(job.output("evaluate/evaluation.json"), evaluation)
    save_resamples({name: scores[name].metrics for name in models}, job.output("evaluate/resamples.safetensors"))
    write_json(job.output("evaluate/metrics.json"), _flat(evaluation["models"]))
    _write_classes(evaluation["per_class_iou"], job.output("evaluate/classes.csv"))
    _draw(pairs, info, photos, job.output("evaluate/samples.png"))
    _time(job, ready, pairs.inputs[:1])


def _evaluation(
    job: Job, ready: Scene, scores: Mapping[str, Score], collapse: Mapping[str, str | None]
) -> dict[str, Any]:
    """The content of evaluation.json. scores: of each model, and of the real photos; collapse: how a model failed."""
    info, models = ready.info, ready.models
    costs = {
        name: _costs(arch, net, job.input(f"{MODELS[name]}/weights.safetensors"))
        for name, (arch, net) in models.items()
    }
    student = scores["student"].metrics
    return {
        "schema": 2,
        "dataset": info.name,
        "kind": info.kind,
        "split": "test",
        "seed": job.params(Base).seed,
        "determinism": determinism(ready.device),
        "feature_dims": ready.jury.judge.dims,
        "models": {name: {**plain(scores[name].metrics), **_values(costs[name])} for name in models}
        | {REAL: plain(scores[REAL].metrics)},
        "differences": {
            f"student_minus_{other}": plain(differences(student, scores[other].metrics))
            for other in (TEACHER, "baseline")
        },
        "per_class_iou": (
            {name: plain(score.classes) for name, score in scores.items()} if info.kind == "labels" else {}
        ),
        "collapse": collapse,
        "files": {f"artifacts/{name}": sha256(job.input(name)) for name in _scored_files(job)},
    }


def _seconds(ready: Scene, params: Evaluate) -> float:
    """What translating and scoring the test split and timing the networks will take, by one batch of blank images."""
    info = ready.info
    inputs = blank_inputs(info, TIMED)
    seconds = 0.0
    for arch, net in ready.models.values():
        for part in (inputs[:1], inputs):  # the first passes pay for set-up
            start = time.perf_counter()
            photos = translate(net, part, arch.encoding, info, ready.device, contextlib.nullcontext)
            observe(ready.jury.judge, photos, part)
            spent = time.perf_counter() - start
        seconds += spent * (info.counts["test"] + 2 * params.latency_runs) / TIMED
    return seconds + ready.jury.named_seconds(len(ready.models), real=True)


def _scored_files(job: Job) -> list[str]:
    """Names under artifacts/ of everything that the numbers were computed from."""
    asked = job.params(Evaluate).inception
    weights = [f"{stage}/{file}" for stage in MODELS.values() for file in ("arch.json", "weights.safetensors")]
    train = ["prepare/train.zip"] if asked is not None and "train_test" in asked.references else []
    judged = ["judge/judge.json", "judge/weights.safetensors"]
    return ["prepare/dataset.json", "prepare/test.zip", *train, *judged, *weights]


def _costs(arch: Arch, net: Generator, weights: Path) -> dict[str, float]:
    counted = cost(arch)
    return {
        "macs_true_g": counted.macs_true / 1e9,
        "macs_legacy_g": counted.macs_legacy / 1e9,
        "params_m": counted.params / 1e6,
        "file_mb": weights.stat().st_size / 1e6,
        "peak_activation_mb": peak_activation_bytes(net, (1, arch.input_channels, *arch.size)) / 1e6,
    }


def _values(numbers: Mapping[str, float]) -> dict[str, dict[str, float]]:
    return {name: {"value": value} for name, value in numbers.items()}


def _flat(models: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Values alone, rounded to what a table needs."""
    return {
        model: {metric: round(entry["value"], 6) for metric, entry in metrics.items()}
        for model, metrics in models.items()
    }


def _write_classes(per_class: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """A row for each class that the test labels contain, a column for each model: what `dvc plots` draws."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["class", *MODELS, REAL])
        for name in per_class.get(REAL, ()):
            writer.writerow([name, *(f"{classes[name]['value']:.4f}" for classes in per_class.values())])


def _draw(pairs: Split, info: DatasetInfo, photos: Mapping[str, Tensor], path: Path) -> None:
    """Input, real photo and every model's translation, for some test images."""
    shown = examples(pairs)
    translations = {name: images[shown] for name, images in photos.items()}
    write_grid({**example_columns(pairs, shown, info), **translations}, path)


def _time(job: Job, ready: Scene, inputs: Tensor) -> None:
    """Latency of one image, the models side by side in one run; with the hashes that say which networks were timed.

    inputs: as in `Split`, one of them.
    """
    runs = job.params(Evaluate).latency_runs
    times: dict[str, Any] = {
        name: latency_ms(net, encode_inputs(inputs.to(ready.device), arch.encoding, ready.info), runs)
        for name, (arch, net) in ready.models.items()
    }
    weights = [f"{stage}/weights.safetensors" for stage in MODELS.values()]
    files = {f"artifacts/{name}": sha256(job.input(name)) for name in weights}
    write_json(
        job.scratch / "latency.json",
        {"threads": threads(), "device": str(ready.device), "models": times, "files": files},
    )


if __name__ == "__main__":
    main("evaluate", READS, plan, run)
