"""The files of a finished run, a few bytes each; the metrics are invented, what the gate says of them is not."""

from understudy.arch.inception import inception
from understudy.files import read_json, sha256, write_json
from understudy.gate import DATASET, EVALUATION, JUDGE, STUDENT, TEST_SPLIT, judge
from understudy.metrics import protocol
from understudy.metrics.protocol import MEASURED, MIOU
from understudy.params.gate import Gate

FRECHET = protocol.FRECHET["labels"]
WEIGHTS = "artifacts/distill/weights.safetensors"
PARAMS = f"""
registry: {{model: toy-student}}
gate: {{{MIOU}: {{min: 0.5}}}}
base: {{seed: 0}}
runtime: {{device: cpu, precision: fp32}}
evaluate: {{resamples: 40, latency_runs: 2, inception: null, segmentation: null}}
"""


def finding(outcome, message):
    return {"metric": MIOU, "rule": "min", "outcome": outcome, "message": message, "bound": 0.5, "value": 0.6,
            "reference": None, "interval": None}  # fmt: skip


def write_verdict(root, *rules):
    """A verdict about the files that are in `root`."""
    files = {str(path.relative_to(root)): sha256(path) for path in (root / "artifacts").rglob("*") if path.is_file()}
    verdict = {
        "schema": 2,
        "exports": {},
        "passed": all(rule["outcome"] != "failed" for rule in rules),
        "rules": rules,
        "policy": {MIOU: {"min": 0.5}},
        "metrics": {MIOU: 0.6},
        "evaluation_sha256": files.get("artifacts/evaluate/evaluation.json", "0" * 64),
        "data_sha256": "0" * 64,
        "judge_sha256": "0" * 64,
        "files": files,
    }
    write_json(root / "artifacts/gate/verdict.json", verdict)


def write_evaluation(root):
    def scored(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 200}

    models = {
        model: {MIOU: scored(miou), FRECHET: scored(1 - miou), **{metric.name: {"value": size} for metric in MEASURED}}
        for model, miou, size in (("teacher", 0.61, 10.0), ("student", 0.6, 0.5), ("baseline", 0.5, 0.5))
    }
    evaluation = {
        "schema": 2,
        "dataset": "toy",
        "kind": "labels",
        "split": "test",
        "models": {**models, "real": {MIOU: scored(0.7)}},
        "files": {WEIGHTS: "0" * 64},
        "differences": {"student_minus_teacher": {MIOU: scored(-0.01)}, "student_minus_baseline": {MIOU: scored(0.1)}},
        "collapse": {"teacher": None, "student": None, "baseline": None},
    }
    write_json(root / "artifacts/evaluate/evaluation.json", evaluation)


def write_judged(root, least):
    """An evaluation of the student in `root`, and what the gate says of it: promotion believes no other verdict."""
    write_evaluation(root)
    path = root / EVALUATION
    files = {name: sha256(root / name) for name in (*STUDENT, DATASET)} | {TEST_SPLIT: "0" * 64, JUDGE: "0" * 64}
    write_json(path, read_json(path) | {"files": files, "feature_dims": 8})
    gate = Gate.parse({MIOU: {"min": least}}, "params.yaml: gate")
    write_json(root / "artifacts/gate/verdict.json", judge(gate, read_json(path), sha256(path)).plain())


def small_arch():
    return inception(8, 3, 6, "instance_affine", "reflect", "onehot", 3, (16, 16))
