"""The files of a finished run, small and made in a second: untrained networks, drawn pairs, invented numbers."""

import io
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from understudy.arch import families as architecture
from understudy.arch.branches import Branches
from understudy.arch.diff import diff
from understudy.arch.inception import InceptionArch, inception
from understudy.data.archive import write_archive
from understudy.files import read_json, sha256, write_json, write_text
from understudy.metrics import protocol
from understudy.metrics.protocol import MEASURED, MIOU
from understudy.models.initialise import init_normal
from understudy.tensors import save_weights

FRECHET, KID = protocol.FRECHET["labels"], protocol.KID["labels"]

SIZE = (32, 48)  # the middle tap is 8 x 12
HOSTILE = '<script>alert("class")</script>'  # a class of the data set
CLASSES = ("sky", HOSTILE, "road & verge")
PALETTE = [[110, 170, 220], [120, 80, 70], [100, 70, 120]]
NETWORKS = {"teacher": "teacher", "student": "distill", "baseline": "baseline"}
STUDENT = "artifacts/distill/weights.safetensors"


def finished_run(root: Path, output_weight: float = 100.0, seed: int = 0) -> Path:
    """Write all of a run's files below `root` and return it. seed: of the student's weights."""
    _write_data(root)
    teacher = inception(8, 3, 4, "batch", "zero", "onehot", len(CLASSES), SIZE)
    blocks = (Branches({"3": 5}, {"1": 2}), Branches({"1": 8, "5": 1}, {}), Branches({}, {"3": 4}))
    student = InceptionArch(**{**vars(teacher), "stem": (5, 9, 20), "head": (9, 5), "blocks": blocks})
    for index, (name, stage) in enumerate(NETWORKS.items()):
        arch = teacher if name == "teacher" else student
        net = architecture.build(arch)
        init_normal(net, torch.Generator().manual_seed(index + 10 * seed))
        architecture.save(arch, root / f"artifacts/{stage}/arch.json")
        save_weights(net, root / f"artifacts/{stage}/weights.safetensors")
        write_text(
            root / f"artifacts/{stage}/curves.csv",
            "step,recon,gan\n" + "".join(f"{s},{40 / s + index},{0.1 * index}\n" for s in range(10, 110, 10)),
        )
        write_text(
            root / f"artifacts/{stage}/validation.csv",
            "step,kid_segmenter_noresize_val,miou_segmenter_noresize_val,selection,reading\n"
            "50,0.02,0.2,0.02,0.2\n100,0.01,0.4,0.01,0.4\n",
        )
        write_json(root / f"artifacts/{stage}/metrics.json", {"determinism": "seeded", "best_step": 100})
    architecture.save(student, root / "artifacts/prune/arch.json")
    write_text(root / "artifacts/prune/diff.txt", diff(teacher, student))
    write_json(root / "artifacts/prune/metrics.json", {"threshold": 0.9875})
    write_text(
        root / "params.yaml",
        f"base: {{seed: 0}}\ndistill:\n  output_weight: {output_weight}\n"
        "  relation: {weight: 1.0, norm: l2, centred: true}\n",
    )
    write_evaluation(root)
    return root


def _write_data(root: Path) -> None:
    random = np.random.default_rng(0)
    folder = root / "artifacts/prepare"
    with write_archive(folder / "test.zip") as archive:
        for index in range(3):
            labels = np.repeat(np.repeat(random.integers(0, len(CLASSES), (4, 6), np.uint8), 8, 0), 8, 1)
            photo = np.clip(np.array(PALETTE, int)[labels] + random.integers(-20, 20, (*SIZE, 3)), 0, 255)
            archive.add(f"photo/test-{index}.png", _png(photo.astype(np.uint8)))
            archive.add(f"input/test-{index}.png", _png(labels))
    write_json(folder / "dataset.json", {
        "schema": 2, "name": "toy streets", "kind": "labels",
        "size": list(SIZE), "classes": list(CLASSES), "ignore": None,
        "licence": "CC0-1.0", "palette": PALETTE, "counts": {"train": 24, "val": 8, "test": 3},
    })  # fmt: skip
    write_text(folder / "manifest.csv", "name\n")
    data = {name: sha256(root / "artifacts" / name) for name in ("prepare/manifest.csv", "prepare/dataset.json")}
    met = {"suite": "manifest", "name": "photo_is_there", "success": True, "checked": 35, "unexpected": 0,
           "observed": None}  # fmt: skip
    write_json(root / "artifacts/check/result.json", {"schema": 2, "data": data, "expectations": 1, "results": [met]})


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def scored(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": 200}


def write_evaluation(root: Path, miou: float = 0.6) -> None:
    """evaluation.json about the files at hand, a verdict of both outcomes about it, and latencies."""
    files = [
        "prepare/dataset.json",
        "prepare/test.zip",
        *(f"{stage}/{file}" for stage in NETWORKS.values() for file in ("arch.json", "weights.safetensors")),
    ]
    hashes = {f"artifacts/{name}": sha256(root / "artifacts" / name) for name in files}
    quality = {"teacher": 0.61, "student": miou, "baseline": 0.5}
    costs = {"teacher": 10.0, "student": 1.0, "baseline": 1.0}
    models = {name: {MIOU: scored(value), FRECHET: scored(1 - value), KID: scored(0.01, 0.001),
                     **{metric.name: {"value": costs[name]} for metric in MEASURED}}
              for name, value in quality.items()}  # fmt: skip
    evaluation = {
        "schema": 2, "dataset": "toy streets", "kind": "labels", "split": "test", "seed": 0, "determinism": "seeded",
        "models": {**models, "real": {MIOU: scored(0.7)}},
        "differences": {"student_minus_teacher": {MIOU: scored(miou - 0.61, 0.001)},
                        "student_minus_baseline": {MIOU: scored(miou - 0.5)}},
        "per_class_iou": {name: {title: scored(0.5) for title in CLASSES} for name in (*NETWORKS, "real")},
        "collapse": dict.fromkeys(NETWORKS), "files": hashes,
    }  # fmt: skip
    path = root / "artifacts/evaluate/evaluation.json"
    write_json(path, evaluation)
    flat = {name: {metric: entry["value"] for metric, entry in found.items()} for name, found in models.items()}
    write_json(path.with_name("metrics.json"), flat)
    timed = {"median_ms": 2.0, "p10_ms": 1.0, "p90_ms": 3.0, "runs": 9}
    weights = {name: found for name, found in hashes.items() if name.endswith(".safetensors")}
    write_json(
        root / ".understudy/evaluate/latency.json",
        {"threads": 1, "device": "cpu", "models": dict.fromkeys(NETWORKS, timed), "files": weights},
    )
    write_verdict(root, finding("passed", MIOU, "min", 0.5), finding("failed", FRECHET, "max", 0.3))


def finding(outcome: str, metric: str, rule: str, bound: float) -> dict[str, object]:
    message = f"{metric}: 0.6 {outcome} against {bound} [value: artifacts/x.json: a.b; bound: params.yaml: gate.{rule}]"
    return {"metric": metric, "rule": rule, "outcome": outcome, "message": message, "bound": bound, "value": 0.6,
            "reference": None, "interval": None}  # fmt: skip


def lock(root: Path, **stages: dict[str, dict[str, object]]) -> None:
    """dvc.lock of a run whose stages were run with these parameters, by section. Text stands there as it is."""
    lines = ["schema: '2.0'", "stages:"]
    for stage, sections in stages.items():
        lines += [f"  {stage}:", "    params:", "      params.yaml:"]
        for section, values in sections.items():
            lines += [f"        {section}:", *(f"          {key}: {value}" for key, value in values.items())]
    write_text(root / "dvc.lock", "\n".join(lines) + "\n")


def write_verdict(root: Path, *rules: dict[str, object]) -> None:
    evaluation = root / "artifacts/evaluate/evaluation.json"
    write_json(root / "artifacts/gate/verdict.json", {
        "schema": 2, "exports": {}, "passed": all(rule["outcome"] != "failed" for rule in rules), "rules": rules,
        "policy": {MIOU: {"min": 0.5}}, "metrics": {MIOU: 0.6},
        "evaluation_sha256": sha256(evaluation), "files": read_json(evaluation)["files"],
        "data_sha256": "0" * 64, "judge_sha256": "0" * 64,
    })  # fmt: skip


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)
