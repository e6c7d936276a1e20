"""A student as MLflow stores a model: its files, the code that runs them, signature, input example and checksums.

Nothing is pickled: the model is understudy/adapters/served_model.py as a file of code, with a copy of what it imports.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

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

    from understudy.stripes import stripes

    dataset = read_json(files["dataset"])
    example = stripes(tuple(dataset["size"]), len(dataset["classes"]), dataset.get("edges", False), count=2)
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
