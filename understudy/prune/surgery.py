"""The surviving weights of a pruned teacher, cut out for its student.

CAT's released code copies them and then initialises the student anew; here that is a choice, `inherit`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from understudy.arch.base import Arch
from understudy.arch.layers import Channels
from understudy.errors import UserError
from understudy.files import atomic

Inherit = Literal["none", "norm", "all"]
Kept = Mapping[str, tuple[int, ...]]

REVERSE = "reverse."  # before the names of the other direction's tensors


def cut(weights: Mapping[str, Tensor], teacher: Arch, student: Arch, kept: Kept, mode: Inherit) -> dict[str, Tensor]:
    """The part of a teacher's state dict that its student starts from, under the student's names and in its shapes.

    kept: surviving channels by group (`Selection.kept`). mode: "all" gives every tensor, "norm" the norms' scales,
    shifts and running statistics, "none" nothing.

    With "all" and in eval mode the student computes what the teacher does when the pruned channels are set to zero
    wherever they are read, and removed branches and blocks add nothing.
    """
    if mode == "none":
        return {}
    state: dict[str, Tensor] = {}
    whole_norms = {norm.name: norm for norm in teacher.norms()}
    for name in (norm.name for norm in student.norms()):
        channels = _survivors((whole_norms[name].channels,), kept)
        for field in ("weight", "bias", "running_mean", "running_var"):
            if (value := weights.get(f"{name}.{field}")) is not None:
                state[f"{name}.{field}"] = value.index_select(0, channels)
        if (batches := weights.get(f"{name}.num_batches_tracked")) is not None:
            state[f"{name}.num_batches_tracked"] = batches.clone()
    if mode == "norm":
        return state
    whole_convolutions = {conv.name: conv for conv in teacher.convolutions()}
    for conv in (whole_convolutions[conv.name] for conv in student.convolutions()):
        weight, bias = weights[f"{conv.name}.weight"], weights.get(f"{conv.name}.bias")
        inputs, outputs = (1, 0) if not conv.transposed else (0, 1)  # dimensions of the weight
        if not conv.depthwise:  # whose weight is [C, 1, k, k]
            weight = weight.index_select(inputs, _survivors(conv.reads, kept))
        channels = _survivors((conv.writes,) * conv.copies, kept)
        state[f"{conv.name}.weight"] = weight.index_select(outputs, channels)
        if bias is not None:
            state[f"{conv.name}.bias"] = bias.index_select(0, channels)
    return state


def save_inherited(
    state: Mapping[str, Tensor], mode: Inherit, path: Path, reverse: Mapping[str, Tensor] | None = None
) -> None:
    """Write inherited.safetensors, atomically; its metadata says which mode it was cut with.

    reverse: of a CycleGAN what the student of the other direction starts from.
    """
    whole = {**state, **{f"{REVERSE}{name}": value for name, value in (reverse or {}).items()}}
    with atomic(path) as temporary:
        save_file({name: value.contiguous() for name, value in whole.items()}, temporary, {"inherit": mode})


def inherit(net: nn.Module, path: Path, way: Literal["main", "reverse"] = "main") -> None:
    """Give the student `net` what inherited.safetensors holds; other weights stay as they are.

    way: of a CycleGAN the direction, whose student inherits from its own teacher.
    Raises UserError when the file is missing, damaged, or was cut for another architecture.
    """
    try:
        state = {
            name.removeprefix(REVERSE): value
            for name, value in load_file(path).items()
            if name.startswith(REVERSE) == (way == "reverse")
        }
        if strangers := sorted(set(state) - set(net.state_dict())):
            raise UserError(f"{path}: not of the architecture beside it ({strangers[0]}); run `dvc repro prune`")
        net.load_state_dict(state, strict=False)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `dvc repro prune` makes it") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{path}: damaged, or not of the architecture beside it ({reason}); run `dvc repro prune`"
        ) from None


def _survivors(groups: tuple[Channels, ...], kept: Kept) -> Tensor:
    """Surviving positions [channels] among the joined channels of the teacher's `groups`; of input and image all."""
    found: list[int] = []
    start = 0
    for group in groups:
        found += [start + channel for channel in kept.get(group.name, range(group.width))]
        start += group.width
    return torch.tensor(found)
