"""The network that a graph of operations describes: its modules have the names that they had in the code it is from."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.arch.custom import WEIGHTED, CustomArch, Node
from understudy.arch.layers import INPUT
from understudy.errors import UserError
from understudy.models.conv import Conv2d
from understudy.models.generator import Generator, Keep
from understudy.models.instance_norm import InstanceNorm2d

Function = Callable[..., Tensor]


class CustomGenerator(Generator):
    """Taps: those of the architecture. No operation changes its input in place."""

    def __init__(self, arch: CustomArch) -> None:
        super().__init__(arch.stride)
        self.nodes = arch.nodes
        self.functions = {node.name: _function(node) for node in arch.nodes if node.op not in WEIGHTED}
        self.names_of_taps = {node: tap for tap, node in arch.tapped.items()}
        last = {name: index for index, node in enumerate(arch.nodes) for name in node.reads}
        self.forget = [[name for name in last if last[name] == index] for index in range(len(arch.nodes))]
        channels = arch.channels()
        for node in arch.nodes:  # after every attribute: no module may take one's name
            if node.op in WEIGHTED:
                self._place(node.name, _module(node, channels[node.reads[0]], channels[node.name]))

    def translate(self, x: Tensor, keep: Keep) -> Tensor:
        made = {INPUT: x}
        for node, forget in zip(self.nodes, self.forget, strict=True):
            apply = self.functions.get(node.name) or self.get_submodule(node.name)
            x = made[node.name] = apply(*(made[name] for name in node.reads))
            if node.name in self.names_of_taps:
                keep(self.names_of_taps[node.name], x)
            for name in forget:
                del made[name]
        return x

    def _place(self, name: str, module: nn.Module) -> None:
        """As a part of a part, where the name has dots. Raises UserError where that cannot be its name."""
        *path, own = name.split(".")
        parent: nn.Module = self
        try:
            for part in path:
                if part not in dict(parent.named_children()):
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            if own in dict(parent.named_children()):
                raise KeyError(own)
            parent.add_module(own, module)
        except (KeyError, AttributeError):
            raise UserError(f"no module can be called {name} in a generator: rename it") from None


def _module(node: Node, cin: int, cout: int) -> nn.Module:
    of = node.settings
    if node.op == "batch_norm":
        return nn.BatchNorm2d(cout, eps=node.value or 0.0, affine=bool(of["affine"]))
    if node.op == "instance_norm":
        return InstanceNorm2d(cout, eps=node.value or 0.0, affine=bool(of["affine"]))
    window, bias = (of["kernel"], of["stride"], of["padding"]), bool(of["bias"])
    if node.op == "conv_transposed":
        return nn.ConvTranspose2d(cin, cout, *window, output_padding=of["output_padding"], bias=bias)
    groups = cin if node.op == "depthwise" else 1
    return Conv2d(cin, cout, *window, dilation=of["dilation"], groups=groups, bias=bias)


def _function(node: Node) -> Function:
    of, value = node.settings, node.value or 0.0
    if node.op.startswith("pad_"):
        mode = {"pad_zero": "constant"}.get(node.op, node.op.removeprefix("pad_"))
        return partial(F.pad, pad=(of["left"], of["right"], of["top"], of["bottom"]), mode=mode)
    if node.op == "upsample_nearest":
        return partial(F.interpolate, scale_factor=float(of["scale"]), mode="nearest")
    if node.op == "upsample_bilinear":
        aligned = bool(of["align_corners"])
        return partial(F.interpolate, scale_factor=float(of["scale"]), mode="bilinear", align_corners=aligned)
    if node.op in ("max_pool", "avg_pool"):
        pool = F.max_pool2d if node.op == "max_pool" else F.avg_pool2d
        return partial(pool, kernel_size=of["kernel"], stride=of["stride"], padding=of["padding"])
    if node.op == "leaky_relu":
        return partial(F.leaky_relu, negative_slope=value)
    plain: dict[str, Function] = {
        "relu": torch.relu,
        "gelu": F.gelu,
        "silu": F.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "global_pool": partial(F.adaptive_avg_pool2d, output_size=1),
        "plus": lambda x: x + value,
        "times": lambda x: x * value,
        "add": lambda x, *others: sum(others, x),
        "multiply": _product,
        "cat": lambda *maps: torch.cat(maps, 1),
    }
    return plain[node.op]


def _product(x: Tensor, *others: Tensor) -> Tensor:
    for other in others:
        x = x * other
    return x
