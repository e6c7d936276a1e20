"""A network that other code has trained, as its tensors: read without running anything that the file holds."""

import io
import math
import zipfile
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

from understudy.errors import UserError, in_one_line

LISTED = 3  # names of tensors that an error tells
LONGEST = 100  # characters of one


def read_state(data: bytes, where: str) -> dict[str, Tensor]:
    """The tensors of a state dict by name, on the CPU, in float32 where they are numbers with a fraction.

    data: a file's content, of safetensors or of torch.save. where: what to call the file in errors. The prefix that
    `nn.DataParallel` puts before every name is dropped. What is read takes a few times the file's size, never more.
    Raises UserError when it is damaged, holds anything but named tensors, or values that are not finite.
    """
    try:
        if data[8:9] == b"{":  # safetensors: the header's length in 8 bytes, then its JSON
            content = safetensors.torch.load(data)
        else:
            _require_stored(data)
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever reads its broken part, and each in its own way
        raise UserError(
            f"{where}: damaged, or neither safetensors nor tensors of torch.save alone ({type(error).__name__}); "
            "save the network's state_dict()"
        ) from error
    if not _is_state(content):
        raise UserError(
            f"{where}: holds {_what(content)}, expected tensors by name; save the network's state_dict() alone"
        )
    if odd := [name for name, value in content.items() if not _is_plain(value)]:
        raise UserError(
            f"{where}: {listed(odd)}: expected plain tensors with numbers of their own, not sparse, quantised, empty "
            "or stretched ones; save the network's state_dict() alone"
        )
    if sum(value.numel() for value in content.values()) > len(data):
        raise UserError(f"{where}: {listed(list(content))}: these share their numbers; save a copy of each tensor")
    try:
        tensors = {name: value.float() if value.is_floating_point() else value for name, value in content.items()}
        bad = [name for name, value in tensors.items() if not value.isfinite().all()]
    except RuntimeError as error:  # of the types that torch stores and does not compute with
        raise UserError(f"{where}: {in_one_line(error)}; save the network's weights as float32") from error
    if bad:
        raise UserError(f"{where}: NaN or infinite values in {listed(bad)}: its training diverged")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def listed(names: list[str]) -> str:
    """Some names, each cut where it is longer than any layer's, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(in_one_line(name)[:LONGEST] for name in names[:LISTED]) + more


def _require_stored(data: bytes) -> None:
    """Raise ValueError for a zip whose entries are more than it has bytes: torch.save never compresses any."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(data):
                raise ValueError("compressed")


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )


def _is_plain(tensor: Tensor) -> bool:
    """Whether every element has its own place in the file: a forged stride makes terabytes out of one number."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        # Also of tensors without an element, whose other sides may be anything.
        and math.prod(max(1, side) for side in tensor.shape) * tensor.element_size()
        <= tensor.untyped_storage().nbytes()
    )


def _what(content: object) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    return f"a mapping of {listed([str(name) for name in content])}" if content else "nothing"
