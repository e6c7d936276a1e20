"""Checkpoints: where a killed training goes on from.

They are kept under `.understudy/STAGE/FINGERPRINT/`, outside DVC's outputs, which DVC deletes before it runs a stage.
The fingerprint covers code, parameters and input files, so a checkpoint is only ever taken up by the very same
training. A checkpoint is a safetensors file: reading one runs no code. Its name holds the step and the start of its
own SHA-256, so that one rename publishes content and checksum together; one that does not match its name is damaged,
and the one before it, which is kept for that, is taken up instead.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from understudy.errors import UserError
from understudy.files import atomic, sha256

KEPT = 2  # the newest, and the one before it in case the newest is damaged
DIGITS = 16  # of the checksum in a name
NAME = re.compile(rf"checkpoint-(\d+)-([0-9a-f]{{{DIGITS}}})\.safetensors")  # step, checksum


@dataclass(frozen=True)
class Checkpoint:
    """step: optimiser steps taken. tensors: by name. notes: plain values that are not tensors."""

    step: int
    tensors: dict[str, Tensor]
    notes: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically, and remove all older ones but the last. Raises UserError for a disk's refusal."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    content = safetensors.torch.save(tensors, metadata={"notes": json.dumps(checkpoint.notes)})
    digest = hashlib.sha256(content).hexdigest()[:DIGITS]
    with atomic(folder / f"checkpoint-{checkpoint.step:08d}-{digest}.safetensors") as temporary:
        temporary.write_bytes(content)
    tidy(folder, KEPT)


def load(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None when there is none.

    Damaged ones are named on standard error and removed: they would pass for newer than what is saved next.
    """
    for path in _newest_first(folder):
        try:
            return _read(path)
        except (UserError, ValueError) as error:
            path.unlink(missing_ok=True)
            print(f"{path}: damaged checkpoint removed ({error}); going on from the one before, or from the start",
                  file=sys.stderr)  # fmt: skip
    return None


def tidy(folder: Path, kept: int = 1) -> None:
    """Remove all checkpoints but the newest."""
    for path in _newest_first(folder)[kept:]:
        path.unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    found = {path: int(name[1]) for path in folder.glob("checkpoint-*") if (name := NAME.fullmatch(path.name))}
    return sorted(found, key=lambda path: found[path], reverse=True)


def _read(path: Path) -> Checkpoint:
    """Raises ValueError when the content is not what the name says."""
    named = NAME.fullmatch(path.name)
    if named is None or sha256(path)[:DIGITS] != named[2]:
        raise ValueError("its checksum is not the one in its name")
    with safetensors.safe_open(path, framework="pt") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
        return Checkpoint(int(named[1]), tensors, json.loads(stream.metadata()["notes"]))


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
