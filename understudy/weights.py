"""A generator as files: its weights beside its arch.json."""

from pathlib import Path

import torch

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.errors import UserError
from understudy.models.generator import Generator
from understudy.tensors import load_weights


def load_generator(arch_path: Path, weights_path: Path) -> tuple[Arch, Generator]:
    """A stored generator and its architecture. Raises UserError when a file is damaged, or does not fit the other."""
    arch = architecture.load(arch_path)
    with torch.device("meta"):  # takes no memory: first the weights must fit
        try:
            net = architecture.build(arch)
        except UserError as error:
            raise UserError(f"{arch_path}: {error}") from None
    return arch, load_weights(net, weights_path)
