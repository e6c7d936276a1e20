"""Any network's weights as a safetensors file: never a pickled module."""

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from understudy.errors import UserError
from understudy.files import atomic

Network = TypeVar("Network", bound=nn.Module)


def save_weights(net: nn.Module, path: Path) -> None:
    """Write a network's weights and buffers as safetensors, atomically."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with atomic(path) as temporary:
        save_file(tensors, temporary)


def load_weights(net: Network, path: Path) -> Network:
    """Give a network of the same architecture, built on whatever device, these weights, and return it: on the CPU.

    Raises UserError when they do not fit.
    """
    try:
        # A copy: what is mapped from the file would change with it.
        tensors = {name: value.clone() for name, value in load_file(path).items()}
        net.load_state_dict(tensors, assign=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]  # torch lists every tensor: the first ones tell enough
        raise UserError(f"{path}: damaged, or not of the architecture beside it ({reason}); make it again") from error
    return net
