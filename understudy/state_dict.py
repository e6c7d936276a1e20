"""A network that other code has trained, as its tensors: read without running anything that the file holds."""

import io
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

from understudy.errors import UserError

LISTED = 3  # names of tensors that an error tells


def read_state(data: bytes, where: str) -> dict[str, Tensor]:
    """The tensors of a state dict by name, on the CPU, in float32 where they are numbers with a fraction.

    data: a file's content, of safetensors or of torch.save. where: what to call the file in errors. The prefix that
    `nn.DataParallel` puts before every name is dropped.
    Raises UserError when it is damaged, holds anything but named tensors, or values that are not finite.
    """
    try:
        if data[8:9] == b"{":  # safetensors: the header's length in 8 bytes, then its JSON
            content = safetensors.torch.load(data)
        else:
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
