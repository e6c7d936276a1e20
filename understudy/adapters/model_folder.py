"""A student as MLflow stores a model: its files, the code that runs them, signature, input example and checksums.

Nothing is pickled: the model is understudy/adapters/served_model.py as a file of code, with a copy of what it imports.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy.checksums import write_sums
from understudy.files import read_json
from understudy.imports import closure

# What running the student takes; MLflow adds itself.
REQUIREMENTS = ("torch", "numpy", "safetensors", "pillow", "pyyaml")


def write_model_folder(files: Mapping[str, Path], folder: Path) -> str:
    """Write the model into `folder`, which must not exist, and return the SHA-256 of its SHA256SUMS.

    files: by the name under which the model finds them; arch, weights and dataset among them.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import Schema, TensorSpec

    example = _example(read_json(files["dataset"]))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, *example.shape[3:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
    )
    with tempfile.TemporaryDirectory() as code:
        save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("served_model.py")),
            code_paths=[str(_write_code(Path(code)))],
            artifacts={name: str(path) for name, path in files.items()},
            signature=signature,
            input_example=example,
            pip_requirements=[f"{name}=={_release(name)}" for name in REQUIREMENTS],
        )
    for cache in [*folder.rglob("__pycache__")]:  # of the interpreter that tried the model just now
        shutil.rmtree(cache)
    return write_sums(folder)


def _write_code(folder: Path) -> Path:
    """Write a package into `folder` with what running a student imports of this one, and return its path."""
    package = Path(__file__).parents[1]
    for name in closure("understudy.translator", package.parent):
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package.parent / name, copy)
        (copy.parent / "__init__.py").touch()
    return folder / package.name


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
