"""A network's weights as a safetensors file beside its arch.json: never a pickled module."""

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from understudy import arch as architecture
from understudy.arch import Arch
from understudy.errors import UserError
from understudy.files import atomic
from understudy.models.generator import Generator

Network = TypeVar("Network", bound=nn.Module)


def save_weights(net: nn.Module, path: Path) -> None:
    """Write a network's weights and buffers as safetensors, atomically."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with atomic(path) as temporary:
        save_file(tensors, temporary)


def load_weights(net: Network, path: Path) -> Network:
    """Load weights into a network of the same architecture and return it. Raises UserError when they do not fit."""
    try:
        net.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]  # torch lists every tensor: the first ones tell enough
        raise UserError(f"{path}: damaged, or not of the architecture beside it ({reason}); make it again") from error
    return net


def load_generator(arch_path: Path, weights_path: Path) -> tuple[Arch, Generator]:
    """A stored generator and its architecture."""
    arch = architecture.load(arch_path)
    return arch, load_weights(architecture.build(arch), weights_path)
