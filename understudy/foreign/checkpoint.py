"""A network that other code has trained, as its tensors: read without running anything that the file holds."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from understudy.errors import UserError
from understudy.files import sha256

LISTED = 3  # names of tensors that an error tells


def read_checkpoint(path: Path, digest: str, key: str) -> dict[str, Tensor]:
    """The tensors of a state dict that torch saved, by name, in float32 where they are numbers with a fraction.

    digest: SHA-256 of the file, in hexadecimal. key: of the parameter that names the file, for errors. The prefix that
    `nn.DataParallel` puts before every name is dropped.
    Raises UserError when the file is missing, another than the digest says, damaged, anything but named tensors, or
    holds values that are not finite.
    """
    where = f"{key}: {path}"
    if (found := sha256(path)) != digest.lower():
        raise UserError(f"{where}: has SHA-256 {found}, {key}.sha256 says {digest}; use the file that was meant")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever reads its broken part, and each in its own way
        raise UserError(
            f"{where}: damaged, or holds more than tensors, which is never loaded ({_first_line(error)}); "
            "save the generator's state_dict() alone"
        ) from error
    if not _is_state(content):
        raise UserError(
            f"{where}: holds {_what(content)}, expected tensors by name; save the generator's state_dict() alone"
        )
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in content.items()}
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    if bad := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise UserError(f"{where}: NaN or infinite values in {listed(bad)}: its training diverged")
    return tensors


def listed(names: list[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) and _is_plain(value) for value in content.values())
    )


def _is_plain(tensor: Tensor) -> bool:
    """Whether every element has its own place in the file: a forged stride makes terabytes out of one number."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _what(content: object) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    return f"a mapping of {listed([str(name) for name in content])}" if content else "nothing"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
