"""Checkpoints: where a killed training goes on from.

They are kept under `.understudy/STAGE/FINGERPRINT/`, outside DVC's outputs, which DVC deletes before it runs a stage.
The fingerprint covers code, parameters and input files, so a checkpoint is only ever taken up by the very same
training. A checkpoint is a safetensors file: reading one runs no code.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from understudy.errors import UserError
from understudy.files import atomic, sha256


@dataclass(frozen=True)
class Checkpoint:
    """tensors: by name. notes: plain values that are not tensors (the step, the best score so far)."""

    tensors: dict[str, Tensor]
    notes: Mapping[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically. Raises UserError when the disk refuses it."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    try:
        with atomic(path) as temporary:
            save_file(tensors, temporary, metadata={"notes": json.dumps(checkpoint.notes)})
    except SafetensorError as error:  # what the library makes of a full disk
        raise UserError(f"{path}: the checkpoint cannot be written ({error}); free some space and run again") from error


def load(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None when there is none, or when it is damaged (training then starts again, and says so)."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
            return Checkpoint(tensors, json.loads(stream.metadata()["notes"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        print(f"{path}: damaged checkpoint ignored ({error}); training starts again", file=sys.stderr)
        return None


def fingerprint(params: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    """16 hexadecimal digits that stand for one training: its parameters, its input files and the code loaded for it."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=list).encode())
    for path in sorted(inputs):
        digest.update(sha256(path).encode())
    for path in _loaded_code():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _loaded_code() -> list[Path]:
    """The source files of this project that the running process has imported, in a stable order."""
    modules = [
        module for name, module in sys.modules.items() if name.split(".")[0] in ("understudy", "stages", "__main__")
    ]
    files = {module.__file__ for module in modules if getattr(module, "__file__", None)}
    return sorted(Path(file) for file in files if file and file.endswith(".py"))
