import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from understudy.adapters import registry
from understudy.adapters.followed import load_translator
from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.arch import families as architecture
from understudy.arch.resnet import resnet
from understudy.errors import DATA_FAILED, GATE_FAILED, UserError
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

FRECHET = protocol.FRECHET["labels"]
REGISTRY = Registry("street")
SCORING = Scoring(Base(0), Runtime("cpu", "fp32"), Evaluate(40, 2, None, None))
SIZE = (24, 20)
SERVE = """
import sys, numpy as np, mlflow
model = mlflow.pyfunc.load_model("models:/street@champion")
import understudy
print(understudy.__path__[0])
print(model.metadata.signature.inputs.inputs[0].shape, model.input_example.shape)
print(model.predict(model.input_example).shape)
np.save(sys.argv[2], model.predict(np.load(sys.argv[1])))
"""


def make_student(
    root: Path,
    seed: int,
    frechet: float,
    bound: dict,
    judge_sha256: str = "a" * 64,
    kind: str = "labels",
    edges: bool = False,
) -> Gate:
    """A tiny student, as the stages leave it, with an evaluation and a verdict that speak of it; and its policy."""
    torch.manual_seed(seed)
    labels = kind == "labels"
    arch = resnet(4, 3, "instance_affine", "reflect", "onehot" if labels else "rgb", 3 + edges, SIZE)
    architecture.save(arch, root / STUDENT[0])
    save_weights(architecture.build(arch), root / STUDENT[1])
    write_json(
        root / DATASET,
        {
            "schema": 2,
            "name": "stripes",
            "kind": kind,
            "edges": edges,
            "size": SIZE,
            "classes": ["sky", "road", "car"] if labels else [],
            "palette": [[0, 0, 255], [90, 90, 90], [255, 0, 0]] if labels else [],
            "ignore": None,
            "licence": "CC0",
            "counts": {"train": 1, "val": 1, "test": 1},
        },
    )
    (root / TEST_SPLIT).write_bytes(b"the test split")
    evaluation = {
        "schema": 2,
        "kind": "labels",
        "feature_dims": 8,
        "models": {"student": {FRECHET: {"value": frechet, "n": 100}}},
        "collapse": {"student": None},
        "files": {name: sha256(root / name) for name in (*STUDENT, DATASET, TEST_SPLIT)} | {JUDGE: judge_sha256},
    }
    write_json(root / EVALUATION, evaluation)
    gate = Gate.parse({FRECHET: bound}, "params.yaml: gate")
    write_json(root / PATH, judge(gate, *read_evaluation(root)).plain())
    return gate


def test_refusals_come_before_the_store_is_touched(tmp_path):
    with pytest.raises(UserError, match=r"verdict\.json: no such file") as missing:
        promote(tmp_path, REGISTRY, Gate({FRECHET: {"max": 1.0}}, "params.yaml: gate"), SCORING)
    assert missing.value.code == DATA_FAILED
    gate = make_student(tmp_path, 0, frechet=2.0, bound={"max": 1.0})
    with pytest.raises(UserError, match=r"the gate failed: frechet.*2 is above the most allowed, 1") as failed:
        promote(tmp_path, REGISTRY, gate, SCORING)
    assert failed.value.code == GATE_FAILED
    gate = make_student(tmp_path, 0, frechet=0.5, bound={"max": 1.0})
    (tmp_path / STUDENT[1]).write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"weights\.safetensors: has SHA-256") as swapped:
        promote(tmp_path, REGISTRY, gate, SCORING)
    assert swapped.value.code == GATE_FAILED
    make_student(tmp_path, 0, frechet=0.5, bound={"max": 1.0})
    with pytest.raises(UserError, match=r"policy has changed since the verdict \(params.yaml: gate\.frechet.*\.max\)"):
        promote(tmp_path, REGISTRY, Gate({FRECHET: {"max": 0.4}}, "params.yaml: gate"), SCORING)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "planes"), [("labels", ()), ("labels", (2,)), ("unpaired", (3,))], ids=["labels", "edges", "photos"]
)
def test_promoted_student_serves_the_same_pixels_without_the_repository(kind, planes, root):
    bound = {"max": 1.0, "max_worse_than_champion": 0.1}
    gate = make_student(root, 0, frechet=0.5, bound=bound, kind=kind, edges=planes == (2,))
    promotion = promote(root, REGISTRY, gate, SCORING)
    assert (promotion.version, promotion.registered, promotion.replaced) == ("1", True, None)
    assert "no champion yet" in promotion.notes[0]

    most = 256 if kind == "unpaired" else [3, 2] if planes else 3
    inputs = np.random.default_rng(0).integers(0, most, (3, 30, 21, *planes), dtype=np.uint8)
    expected = Translator.load(root / STUDENT[0], root / STUDENT[1], root / DATASET)(inputs)
    assert expected.shape == (3, 30, 21, 3)
    np.testing.assert_array_equal(load_translator(root, "models:/street@champion")(inputs), expected)
    np.testing.assert_array_equal(load_translator(root, "models:/street/1")(inputs), expected)

    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "inputs.npy", inputs)
    # -S leaves out .pth files, and with them the editable install: only the model's own copy of the code is left.
    packages = Path(np.__file__).parents[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(packages),
        "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-S", "-c", SERVE, "inputs.npy", "photos.npy"]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(Path(__file__).parents[3] / "understudy") not in done.stdout
    assert done.stdout.splitlines()[1:] == [f"{(-1, -1, -1, *planes)} {(2, *SIZE, *planes)}", f"{(2, *SIZE, 3)}"]
    np.testing.assert_array_equal(np.load(elsewhere / "photos.npy"), expected)


@pytest.mark.slow
def test_registry_that_is_down_is_named(root, monkeypatch):
    gate = make_student(root, 0, frechet=0.5, bound={"max": 1.0})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"the registry at http://127\.0\.0\.1:9 cannot be reached"):
        promote(root, REGISTRY, gate, SCORING)


@pytest.mark.slow
def test_unknown_address_is_named(root):
    with pytest.raises(UserError, match="models:/nobody@champion: not found"):
        load_translator(root, "models:/nobody@champion")
    with pytest.raises(UserError, match="expected models:/NAME@ALIAS"):
        load_translator(root, "models:nobody")


def add_exports(root: Path, gate: Gate, frechets: dict[str, float]) -> None:
    """Exported files of the student in `root`, as far as registering goes, and a verdict that speaks of them too."""
    for name in frechets:
        (root / FILES[name]).parent.mkdir(parents=True, exist_ok=True)
        (root / FILES[name]).write_text(f"{name} of {sha256(root / STUDENT[1])}")
    write_json(root / RECORD, {
        "schema": 1, "evaluation_sha256": sha256(root / EVALUATION),
        "models": {name: {FRECHET: {"value": value, "n": 100}} for name, value in frechets.items()},
        "differences": {}, "collapse": dict.fromkeys(frechets),
        "files": {FILES[name]: sha256(root / FILES[name]) for name in frechets},
    })  # fmt: skip
    evaluation, digest = read_evaluation(root)
    write_json(root / PATH, judge(gate, evaluation, digest, read_record(root, digest)).plain())


@pytest.mark.slow
def test_exported_files_that_passed_are_registered_beside_the_weights(root):
    from mlflow.artifacts import download_artifacts

    gate = make_student(root, 0, frechet=0.5, bound={"max": 1.0})
    promote(root, REGISTRY, gate, SCORING)  # without any, before there were exports
    add_exports(root, gate, {"onnx": 0.5, "int8": 3.0})
    promotion = promote(root, REGISTRY, gate, SCORING)
    assert (promotion.version, promotion.registered, promotion.replaced) == ("2", True, "1")
    note = promotion.notes[-1]
    assert "export int8 is not registered" in note and "3 is above the most allowed, 1" in note
    version = connect(root).client.get_model_version_by_alias("street", "champion")
    assert version.tags["exports"] == "onnx" and version.tags["onnx_sha256"] == sha256(root / FILES["onnx"])
    assert "int8_sha256" not in version.tags
    store = connect(root)
    fetched = download_artifacts(f"{version.source}/artifacts", dst_path=str(root / "got"), tracking_uri=store.uri)
    registered = {path.name: sha256(path) for path in Path(fetched).iterdir()}
    assert registered["student.onnx"] == sha256(root / FILES["onnx"]) and "student-int8.onnx" not in registered
    assert promote(root, REGISTRY, gate, SCORING).registered is False

    (root / FILES["onnx"]).write_text("another file")
    changed = promote(root, REGISTRY, gate, SCORING)
    assert changed.version == "3" and any("is not the file that was judged" in note for note in changed.notes)


@pytest.mark.parametrize(("broken_off", "error"), [(1, None), (2, "cannot be read: .*reset")])
def test_a_download_that_breaks_off_is_tried_once_more(broken_off, error, monkeypatch, tmp_path):
    from mlflow import artifacts

    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/arch.json").write_text("{}")
    tries = []

    def download(**_) -> str:
        tries.append(1)
        if len(tries) <= broken_off:
            raise ConnectionResetError("connection reset by peer")
        return str(tmp_path)

    monkeypatch.setattr(artifacts, "download_artifacts", download)
    monkeypatch.setattr("understudy.adapters.mlflow.time.sleep", lambda _: None)
    version = SimpleNamespace(name="streets", version=3, source="s3://models/3", tags={})
    with pytest.raises(UserError, match=error) if error else nullcontext():
        got = registry.fetch(SimpleNamespace(uri="http://localhost"), version, tmp_path)
        assert got.version == "3" and got.files == {"arch": tmp_path / "artifacts/arch.json"}
    assert len(tries) == 2
