"""A generator as files: its weights beside its arch.json."""

from pathlib import Path

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.models.generator import Generator
from understudy.tensors import load_weights


def load_generator(arch_path: Path, weights_path: Path) -> tuple[Arch, Generator]:
    """A stored generator and its architecture."""
    arch = architecture.load(arch_path)
    return arch, load_weights(architecture.build(arch), weights_path)
