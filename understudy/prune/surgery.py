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

from understudy.arch import InceptionArch
from understudy.cost import convolutions, norms
from understudy.errors import UserError
from understudy.files import atomic
from understudy.prune.scores import TRUNK

Inherit = Literal["none", "norm", "all"]
Kept = Mapping[str, tuple[int, ...]]

# The norms whose surviving channels a convolution reads and writes; None: all channels.
STEM_AND_HEAD = {
    "down.0.conv": (None, "down.0.norm"),
    "down.1.conv": ("down.0.norm", "down.1.norm"),
    "down.2.conv": ("down.1.norm", TRUNK),
    "up.0.conv": (TRUNK, "up.0.norm"),
    "up.1.conv": ("up.0.norm", "up.1.norm"),
    "up.2.conv": ("up.1.norm", None),
}


def cut(weights: Mapping[str, Tensor], student: InceptionArch, kept: Kept, mode: Inherit) -> dict[str, Tensor]:
    """The part of a teacher's state dict that its student starts from, under the student's names and in its shapes.

    kept: surviving channels by norm of the pool (`Selection.kept`). mode: "all" gives every tensor, "norm" the norms'
    scales, shifts and running statistics, "none" nothing.

    With "all" and in eval mode the student computes what the teacher does when, after every norm and its ReLU, the
    pruned channels are set to zero, trunk channels after each block's norm too; a block that lost all its branches adds
    nothing.
    """
    if mode == "none":
        return {}
    state: dict[str, Tensor] = {}
    for name, _ in norms(student):
        channels = torch.tensor(kept[_owner(name)])
        for field in ("weight", "bias", "running_mean", "running_var"):
            if (value := weights.get(f"{name}.{field}")) is not None:
                state[f"{name}.{field}"] = value.index_select(0, channels)
        if (batches := weights.get(f"{name}.num_batches_tracked")) is not None:
            state[f"{name}.num_batches_tracked"] = batches.clone()
    if mode == "norm":
        return state
    for conv in convolutions(student):
        reads, writes = _neighbours(conv.name)
        weight, bias = weights[f"{conv.name}.weight"], weights.get(f"{conv.name}.bias")
        inputs, outputs = (1, 0) if not conv.transposed else (0, 1)  # dimensions of the weight
        if reads:
            weight = weight.index_select(inputs, torch.tensor(kept[reads]))
        if writes:
            channels = torch.tensor(kept[writes])
            weight = weight.index_select(outputs, channels)
            bias = bias if bias is None else bias.index_select(0, channels)
        state[f"{conv.name}.weight"] = weight
        if bias is not None:
            state[f"{conv.name}.bias"] = bias
    return state


def save_inherited(state: Mapping[str, Tensor], mode: Inherit, path: Path) -> None:
    """Write inherited.safetensors, atomically; its metadata says which mode it was cut with."""
    with atomic(path) as temporary:
        save_file({name: value.contiguous() for name, value in state.items()}, temporary, {"inherit": mode})


def inherit(net: nn.Module, path: Path) -> None:
    """Give the student `net` what inherited.safetensors holds; other weights stay as they are.

    Raises UserError when the file is missing, damaged, or was cut for another architecture.
    """
    try:
        state = load_file(path)
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


def _owner(norm: str) -> str:
    """The norm of the pool whose channels `norm` has: the branch's first for a second one, the trunk's after a sum."""
    if norm.endswith(".spatial_norm"):
        return norm.removesuffix(".spatial_norm") + ".norm"
    return TRUNK if norm.startswith("blocks.") and norm.count(".") == 2 else norm


def _neighbours(conv: str) -> tuple[str | None, str | None]:
    """The norms of the pool whose channels a convolution reads and writes; None where its weight stays whole."""
    if conv in STEM_AND_HEAD:
        return STEM_AND_HEAD[conv]
    branch, layer = conv.rsplit(".", 1)
    hidden = f"{branch}.norm"
    # A depthwise weight is [hidden, 1, k, k]: it has no input dimension to cut.
    return {"first": (TRUNK, hidden), "spatial": (None, hidden), "second": (hidden, TRUNK)}[layer]
