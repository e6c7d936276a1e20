"""A student small enough to be made in a second, promoted in a store, with its exported file."""

from pathlib import Path

import numpy as np
import torch

from understudy.adapters.promoting import promote
from understudy.arch import families as architecture
from understudy.arch.resnet import resnet
from understudy.data.prepared import load_info
from understudy.export.network import write_onnx
from understudy.export.record import FILES, RECORD, read_record
from understudy.files import sha256, write_json
from understudy.gate import DATASET, EVALUATION, JUDGE, STUDENT, TEST_SPLIT, judge, read_evaluation
from understudy.metrics import protocol
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.gate import Gate
from understudy.params.registry import Registry
from understudy.params.runtime import Runtime
from understudy.params.scoring import Scoring
from understudy.tensors import save_weights
from understudy.translator import Translator
from understudy.verdict import PATH

MODEL, ADDRESS = "street", "models:/street@champion"
CLASSES, SIZE = 3, (24, 20)
SCORING = Scoring(Base(0), Runtime("cpu", "fp32"), Evaluate(40, 2, None, None))
FRECHET = protocol.FRECHET["labels"]


def promote_student(root: Path, seed: int, exported: bool = True) -> str:
    """Make a student in `root` and promote it, in the store there. The number of its version. seed: of its weights."""
    torch.manual_seed(seed)
    arch = resnet(4, 3, "instance_affine", "reflect", "onehot", CLASSES, SIZE)
    net = architecture.build(arch).eval()
    architecture.save(arch, root / STUDENT[0])
    save_weights(net, root / STUDENT[1])
    write_json(root / DATASET, {
        "schema": 2, "name": "toys", "kind": "labels", "size": SIZE, "classes": ["sky", "road", "car"],
        "palette": [[0, 0, 255], [90, 90, 90], [255, 0, 0]], "ignore": None, "licence": "CC0",
        "counts": {"train": 1, "val": 1, "test": 1},
    })  # fmt: skip
    (root / TEST_SPLIT).write_bytes(b"the test split")
    scores = {FRECHET: {"value": 0.5, "n": 100}}
    write_json(root / EVALUATION, {
        "schema": 2, "kind": "labels", "feature_dims": 8, "models": {"student": scores},
        "collapse": {"student": None},
        "files": {name: sha256(root / name) for name in (*STUDENT, DATASET, TEST_SPLIT)} | {JUDGE: "a" * 64},
    })  # fmt: skip
    gate = Gate.parse({FRECHET: {"max": 1.0}}, "params.yaml: gate")
    evaluation, digest = read_evaluation(root)
    (root / FILES["onnx"]).unlink(missing_ok=True)
    (root / RECORD).unlink(missing_ok=True)
    if exported:
        file = root / FILES["onnx"]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(net, arch, load_info(root / DATASET), sha256(root / STUDENT[1]), file)
        write_json(root / RECORD, {
            "schema": 1, "evaluation_sha256": digest, "models": {"onnx": scores}, "differences": {},
            "collapse": {"onnx": None}, "files": {FILES["onnx"]: sha256(file)},
        })  # fmt: skip
    write_json(root / PATH, judge(gate, evaluation, digest, read_record(root, digest)).plain())
    return promote(root, Registry(MODEL), gate, SCORING).version


def label_map(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Class indices uint8 [H, W]."""
    return np.random.default_rng(seed).integers(0, CLASSES, size, np.uint8)


def student(root: Path) -> Translator:
    """The one made last."""
    return Translator.load(root / STUDENT[0], root / STUDENT[1], root / DATASET)
