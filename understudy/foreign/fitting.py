"""Tensors of a file, fitted to a network here by the names that its layers have there."""

from collections.abc import Mapping

import torch
from torch import Tensor

from understudy.arch.base import Arch, Norm
from understudy.arch.custom import CustomArch
from understudy.arch.families import build
from understudy.errors import UserError
from understudy.state_dict import listed

Layers = Mapping[str, str]  # a layer of the network here -> the same layer there
Tensors = Mapping[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def fitted(tensors: Tensors, arch: Arch, layers: Layers, where: str) -> dict[str, Tensor]:
    """Every tensor of the network here, taken from its place there.

    where: what to call the file in errors. Raises UserError, naming tensors, for any that is missing, left over, or of
    another shape or kind of number.
    """
    with torch.device("meta"):
        expected = build(arch).state_dict()
    taken: dict[str, Tensor] = {}
    missing, wrong, used = [], [], set()
    for name, value in expected.items():
        layer, _, kind = name.rpartition(".")
        there = f"{layers[layer]}.{kind}"
        used.add(there)
        if there in tensors:
            given = tensors[there]
            if given.shape != value.shape or given.is_floating_point() != value.is_floating_point():
                wrong.append(f"{there} {_shown(given)} instead of {_shown(value)}")
            taken[name] = tensors[there].to(value.dtype)
        elif kind == "num_batches_tracked":  # files of torch before 0.4.1 do not count, and nothing here reads it
            taken[name] = torch.zeros(value.shape, dtype=value.dtype)
        else:
            missing.append(there)
    unread: tuple[str, ...] = ()
    if arch.norm == "instance" and not isinstance(arch, CustomArch):  # old versions of torch stored these of them too
        unread = tuple(f"{there}.{kind}" for there in layers.values() for kind in STATISTICS)
    extra = [name for name in tensors if name not in used and name not in unread]
    if missing or wrong or extra:
        found = [f"{what}: {listed(names)}" for what, names in
                 (("missing", missing), ("of another kind", wrong), ("left over", extra)) if names]  # fmt: skip
        raise UserError(f"{where}: {_looks(tensors, arch, layers)}; {'; '.join(found)}")
    return taken


def _shown(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def _looks(tensors: Tensors, arch: Arch, layers: Layers) -> str:
    if not isinstance(arch, CustomArch):
        return f"looks like a {arch.family} generator with {arch.norm} norm, but is not exactly that"
    stored = {_stored(tensors, layers[norm.name]) for norm in arch.norms()}
    all_there = all(f"{layers[conv.name]}.weight" in tensors for conv in arch.convolutions())
    if all_there and stored and stored != {arch.norm}:
        return f"holds what {', '.join(sorted(stored))} norms store, and {arch.source} has {arch.norm} norms; change it"
    return f"is not of {arch.source}, which has {arch.norm} norms; name the class that saved it"


def _stored(tensors: Tensors, layer: str) -> Norm:
    if f"{layer}.running_mean" in tensors:
        return "batch"
    return "instance_affine" if f"{layer}.weight" in tensors else "instance"
