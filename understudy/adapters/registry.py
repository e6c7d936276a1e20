"""The model registry: from a verdict that passed to the alias `champion`, and back to a network that translates.

What is registered is arch.json, weights.safetensors and dataset.json (what an input is) with the code that runs them,
found again by their hashes: promoting the same files twice makes no second version. Beside them lie the exported files
that passed the gate as well, as `artifacts/student.onnx` and the like; the tag `exports` names their formats.
"""

import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy import verdict as verdicts
from understudy.adapters.mlflow import DATABASE, Store, connect
from understudy.errors import GATE_FAILED, UserError
from understudy.export.record import FILES as EXPORTED
from understudy.files import read_json, sha256
from understudy.gate import DATASET, EVALUATION, STUDENT
from understudy.lineage import lineage
from understudy.params.gate import Gate
from understudy.params.registry import Registry
from understudy.promotion import Champion, Decision, decide, shippable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from understudy.translator import Translator

FILES = dict(zip(("arch", "weights", "dataset"), (*STUDENT, DATASET), strict=True))  # by name inside the model
FOLDER = "student"  # of the model among its run's artifacts
METRIC_TAG = "metric."
EXPORTS_TAG, NO_EXPORTS = "exports", "none"
# What running the student takes; MLflow adds itself.
REQUIREMENTS = ("torch", "numpy", "safetensors", "pillow", "pyyaml")


@dataclass(frozen=True)
class Promotion:
    """version: now champion. registered: whether it is new. replaced: the version that was champion before, or None."""

    model: str
    version: str
    registered: bool
    replaced: str | None
    notes: tuple[str, ...]


def promote(root: Path, registry: Registry, gate: Gate) -> Promotion:
    """Register the student in `root` and make it champion, if its verdict and the champion's bounds allow it.

    gate: the policy as it is now; a verdict by another one is out of date.
    A student that passed its gate and is worse than the champion allows stays registered, as challenger.
    Raises UserError with code GATE_FAILED and every reason when it is refused, DATA_FAILED without a readable verdict.
    """
    verdict_path = root / verdicts.PATH
    verdict = verdicts.read_verdict(verdict_path)
    with tempfile.TemporaryDirectory() as folder:
        # What is hashed must be what is registered, whatever happens to the originals meanwhile.
        copies = {name: Path(shutil.copy(_present(root / path), folder)) for name, path in FILES.items()}
        digests = {name: sha256(path) for name, path in copies.items()}
        files = {FILES[name]: digest for name, digest in digests.items()}
        evaluation = sha256(root / EVALUATION)
        _require(decide(verdict, gate, files, evaluation, champion=None), registry.model)
        exports, left_out = _exports(root, verdict, Path(folder))
        copies |= exports
        digests |= {name: sha256(path) for name, path in exports.items()}
        identity = {f"{name}_sha256": digest for name, digest in digests.items()}
        identity[EXPORTS_TAG] = ", ".join(exports) or NO_EXPORTS

        tags = {
            **lineage(root),
            **identity,
            "verdict_sha256": sha256(verdict_path),
            "evaluation_sha256": evaluation,
            "data_sha256": verdict.data_sha256,
            "judge_sha256": verdict.judge_sha256,
            **{f"{METRIC_TAG}{name}": repr(value) for name, value in verdict.metrics.items()},
        }
        store = _connect(root)
        before = _champion(store, registry.model)
        found = _find(store, registry.model, identity)
        if found and before and found == before.version:
            return Promotion(registry.model, found, False, None, ("this student is the champion already", *left_out))
        version = found or _register(store, registry.model, copies, tags)
    if found:
        _tag(store, registry.model, version, tags)
    store.client.set_registered_model_alias(registry.model, "challenger", version)
    decision = decide(verdict, gate, files, evaluation, before)
    _require(decision, f"{registry.model} version {version} stays challenger")
    replaced = before.version if before else None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _tag(store, registry.model, version, {"promoted_at": now, "replaced": replaced or "none"})
    store.client.set_registered_model_alias(registry.model, "champion", version)
    return Promotion(registry.model, version, found is None, replaced, (*decision.notes, *left_out))


@dataclass(frozen=True)
class Registered:
    """One version, downloaded. address: as asked for. files: by name, those of FILES and of export.record.FILES."""

    address: str
    model: str
    version: str
    tags: Mapping[str, str]
    files: Mapping[str, Path]


def resolve(root: Path, address: str) -> str:
    """The number of the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means now. Raises UserError."""
    return str(_find_address(root, address)[1].version)


def _find_address(root: Path, address: str) -> tuple[Store, "ModelVersion"]:
    match = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", address)
    if match is None:
        raise UserError(f"{address}: expected models:/NAME@ALIAS or models:/NAME/VERSION")
    store = _connect(root)
    from mlflow.exceptions import MlflowException

    name, alias, version = match.groups()
    client = store.client
    try:
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
    except MlflowException as error:
        raise UserError(f"{address}: not found in {store.uri}: {error}; `understudy promote` registers") from error
    return store, found


def download(root: Path, address: str, folder: Path) -> Registered:
    """Bring `models:/NAME@ALIAS` or `models:/NAME/VERSION` into `folder`. Raises UserError when there is none."""
    store, found = _find_address(root, address)
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        source = f"{found.source}/artifacts"
        artifacts = Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=store.uri))
    except (MlflowException, OSError) as error:
        raise UserError(f"{address}: its files cannot be had from {source}: {error}") from error
    named = {Path(path).name: name for name, path in {**FILES, **EXPORTED}.items()}
    files = {named.get(path.name, path.name): path for path in sorted(artifacts.iterdir())}
    return Registered(address, found.name, str(found.version), dict(found.tags), files)


def load_translator(root: Path, address: str) -> "Translator":
    """The network registered as `models:/NAME@ALIAS` or `models:/NAME/VERSION`. Raises UserError when there is none."""
    from understudy.translator import Translator

    with tempfile.TemporaryDirectory() as folder:
        files = download(root, address, Path(folder)).files
        return Translator.load(files["arch"], files["weights"], files["dataset"])


def _connect(root: Path) -> Store:
    try:
        return connect(root)
    except ImportError as error:
        raise UserError(f"the registry needs MLflow ({error}); `pip install understudy[ops]`") from error
    except Exception as error:  # every kind of store fails in its own way
        where = os.environ.get("MLFLOW_TRACKING_URI") or f"{root / DATABASE}"
        raise UserError(f"the registry at {where} cannot be reached: {error}") from error


def _present(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: missing; run `dvc repro`")
    return path


def _exports(root: Path, verdict: verdicts.Verdict, folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Copies in `folder` of the exported files that may be registered, by format; and why others may not."""
    copies = {}
    for export in verdict.exports.values():
        if (root / export.file).is_file():
            copies[export.file] = Path(shutil.copy(root / export.file, folder))
    kept, left_out = shippable(verdict, {file: sha256(path) for file, path in copies.items()})
    return {name: copies[file] for name, file in kept.items()}, left_out


def _require(decision: Decision, subject: str) -> None:
    if not decision.promote:
        listed = "\n  ".join(decision.reasons)
        raise UserError(f"{subject}: not promoted:\n  {listed}", GATE_FAILED)


def _champion(store: Store, model: str) -> Champion | None:
    """The student in production, with its metrics as tagged when it was promoted."""
    registered = store.client.search_registered_models(f"name = '{model}'")
    if not registered or "champion" not in registered[0].aliases:
        return None
    version = store.client.get_model_version_by_alias(model, "champion")
    tagged = {k.removeprefix(METRIC_TAG): float(v) for k, v in version.tags.items() if k.startswith(METRIC_TAG)}
    data, judge = (version.tags.get(f"{what}_sha256", "unknown") for what in ("data", "judge"))
    return Champion(str(version.version), tagged, data, judge)


def _find(store: Store, model: str, identity: dict[str, str]) -> str | None:
    """The version that holds these very files. identity: its tags that tell of them."""
    page: str | None = ""
    while page is not None:
        versions = store.client.search_model_versions(f"name = '{model}'", page_token=page or None)
        for version in versions:
            if identity.items() <= {EXPORTS_TAG: NO_EXPORTS, **version.tags}.items():
                return str(version.version)
        page = versions.token or None
    return None


def _register(store: Store, model: str, files: dict[str, Path], tags: dict[str, str]) -> str:
    """Log the model in a run of its own and register it; its tags are there as soon as the version is."""
    client = store.client
    run = client.create_run(
        store.experiment, run_name=f"promote {model}", tags={"understudy.command": "promote", **tags}
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            _save(files, Path(folder) / FOLDER)
            client.log_artifacts(run.info.run_id, str(Path(folder) / FOLDER), FOLDER)
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        source = f"{run.info.artifact_uri}/{FOLDER}"
        version = client.create_model_version(model, source, run.info.run_id, tags=tags)
    except BaseException:
        client.set_terminated(run.info.run_id, "FAILED")
        raise
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(version.version)


def _save(files: dict[str, Path], folder: Path) -> None:
    """Write the model as MLflow stores it: files, code, signature, example, requirements."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import Schema, TensorSpec

    package = Path(__file__).parents[1]
    example = _example(read_json(files["dataset"]))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, *example.shape[3:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
    )
    save_model(
        path=str(folder),
        python_model=str(Path(__file__).with_name("served_model.py")),
        code_paths=[str(package)],
        artifacts={name: str(path) for name, path in files.items()},
        signature=signature,
        input_example=example,
        pip_requirements=[f"{name}=={_release(name)}" for name in REQUIREMENTS],
    )


def _release(package: str) -> str:
    """The installed version as an index knows it: 2.15.0, not 2.15.0+cpu."""
    return importlib.metadata.version(package).partition("+")[0]


def _example(dataset: dict[str, Any]) -> Any:
    """Two inputs as stripes: label maps uint8 [2, H, W] with every class in them, where networks see edges with an edge
    around each, uint8 [2, H, W, 2]; or grey photos uint8 [2, H, W, 3]."""
    import numpy as np

    from understudy.data.edges import with_edges

    height, width = dataset["size"]
    stripes = (np.arange(width) * (len(dataset["classes"]) or 256) // width).astype(np.uint8)  # [W]
    maps = np.broadcast_to(stripes, (2, height, width))  # [W] -> [2, H, W]
    if dataset["kind"] != "labels":
        return np.repeat(maps[..., None], 3, axis=3)  # [2, H, W] -> [2, H, W, 3]
    return np.stack([with_edges(one, one) for one in maps]) if dataset.get("edges") else maps.copy()


def _tag(store: Store, model: str, version: str, tags: dict[str, str]) -> None:
    for name, value in tags.items():
        store.client.set_model_version_tag(model, version, name, value)
