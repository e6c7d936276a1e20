"""What one call in torch's graph of a network does, in the terms of an architecture's graph.

Modules and functions of torch, and of torch.Tensor the methods. A function with options counts as the module that has
the same ones.
"""

import operator
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from understudy.arch.custom import JOINING, SETTINGS, Operation


class Unknown(Exception):
    """Something that the graph of an architecture cannot have."""


@dataclass(frozen=True)
class Step:
    """What one module or function of torch does, or a part of it, to one map."""

    op: Operation
    settings: dict[str, int]
    value: float | None = None


def sources(node: fx.Node) -> list[fx.Node]:
    """The maps that an operation reads, in order; a list of them counts as its members."""
    first = node.args[0] if node.args else node.kwargs.get("tensors", node.kwargs.get("input"))
    given = [*first, *node.args[1:]] if isinstance(first, list | tuple) else [first, *node.args[1:]]
    return [argument for argument in given if isinstance(argument, fx.Node)]


def steps(net: nn.Module, node: fx.Node) -> Iterator[Step]:
    """What a node of torch's graph does. Raises Unknown."""
    if node.op == "call_module":
        yield from _module_steps(net.get_submodule(str(node.target)), str(node.target))
        return
    called = getattr(Tensor, str(node.target), None) if node.op == "call_method" else node.target
    name = FUNCTIONS.get(cast("Any", called))
    options = [argument for argument in node.args if not isinstance(argument, fx.Node | list | tuple)]
    if name in JOINING:
        yield from _joining_steps(name, node, options)
    elif name is not None and not options:
        yield Step(name, {})
    elif (
        called is operator.truediv
        and len(sources(node)) == 1
        and isinstance(node.args[1], int | float)
        and node.args[1]
    ):
        yield Step("times", {}, 1 / node.args[1])
    elif called is operator.sub and len(sources(node)) == 1 and isinstance(node.args[1], int | float):
        yield Step("plus", {}, -float(node.args[1]))
    elif (same := AS_MODULES.get(cast("Any", called))) is not None:
        label = getattr(called, "__name__", str(called))
        try:
            module = same(*node.args[1:], **node.kwargs)
        except Exception as error:
            raise Unknown(f"{label}: {told(error)}") from None
        yield from _module_steps(module, label)
    else:
        raise Unknown(_unknown(node))


def _unknown(node: fx.Node) -> str:
    """What to say of an operation that is none of those known."""
    if node.op == "get_attr":
        return f"{node.target}: a parameter, a buffer or a constant that forward itself uses; only modules have weights"
    if node.target is getattr:
        return f"forward reads .{node.args[1]} of a map, which the graph cannot keep: use whole factors, scale_factor=2"
    return f"{getattr(node.target, '__name__', node.target)} ({node.op}) is not known"


def _joining_steps(name: Operation, node: fx.Node, options: list[Any]) -> Iterator[Step]:
    """Of add, multiply and cat; of the first two also with a number."""
    if name == "cat":
        if (dim := node.kwargs.get("dim", options[0] if options else 0)) not in (1, -3):
            raise Unknown(f"cat along dimension {dim}: only channels, dimension 1, can be joined")
        if len(sources(node)) > 1:
            yield Step("cat", {})
    elif len(sources(node)) == 2 and not options:
        yield Step(name, {})
    elif len(options) == 1 and isinstance(options[0], int | float):
        yield Step("plus" if name == "add" else "times", {}, float(options[0]))
    else:
        raise Unknown(f"{node.target} of {node.args}")


def _module_steps(module: nn.Module, where: str) -> Iterator[Step]:
    """What a module of torch does, and of two parts where it pads in its own way. Raises Unknown."""
    if made := {name for name, _ in module.named_parameters()} - {"weight", "bias"}:
        known = isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        why = "spectral_norm and weight_norm are not known; use it without" if known else "not known"
        raise Unknown(f"{where}: a {type(module).__name__} with weights of its own, {', '.join(sorted(made))}: {why}")
    if isinstance(module, nn.Identity | nn.Dropout | nn.Dropout2d):
        return
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        yield from _convolution_steps(module, where)
    elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        batch = isinstance(module, nn.BatchNorm2d)
        if module.track_running_stats != batch:
            raise Unknown(f"{where}: running statistics are for batch norms, which have them always")
        yield Step("batch_norm" if batch else "instance_norm", {"affine": int(module.affine)}, module.eps)
    elif isinstance(module, nn.LeakyReLU):
        yield Step("leaky_relu", {}, float(module.negative_slope))
    elif isinstance(module, nn.ZeroPad2d | nn.ReflectionPad2d | nn.ReplicationPad2d):
        mode = {"ZeroPad2d": "zero", "ReflectionPad2d": "reflect"}.get(type(module).__name__, "replicate")
        yield _padding(mode, *module.padding)
    elif isinstance(module, nn.Upsample):
        if module.scale_factor is None:
            raise Unknown(f"{where}: up-sampling to a size; a whole scale_factor is needed")
        scale, aligned = _one(module.scale_factor, where), int(bool(module.align_corners))
        if module.mode == "nearest":
            yield Step("upsample_nearest", {"scale": scale})
        elif module.mode == "bilinear":
            yield Step("upsample_bilinear", {"scale": scale, "align_corners": aligned})
        else:
            raise Unknown(f"{where}: up-sampling by {module.mode}; nearest and bilinear are known")
    elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        plain = nn.MaxPool2d if isinstance(module, nn.MaxPool2d) else nn.AvgPool2d
        settings = {
            name: _one(getattr(module, f"{name}_size" if name == "kernel" else name), where)
            for name in ("kernel", "stride", "padding")
        }
        if module.extra_repr() != plain(settings["kernel"], settings["stride"], settings["padding"]).extra_repr():
            raise Unknown(f"{where}: {module}: only kernel, stride and padding, equal for both sides, are known")
        yield Step("max_pool" if plain is nn.MaxPool2d else "avg_pool", settings)
    elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
        yield Step("global_pool", {})
    elif (op := ACTIVATIONS.get(type(module))) is not None and "tanh" not in getattr(module, "approximate", ""):
        yield Step(op, {})
    else:
        raise Unknown(f"{where}: {module} is not known")


def _convolution_steps(module: nn.Conv2d | nn.ConvTranspose2d, where: str) -> Iterator[Step]:
    kernel, stride, dilation = (_one(v, where) for v in (module.kernel_size, module.stride, module.dilation))
    if module.padding in ("same", "valid"):
        padding = dilation * (kernel - 1) // 2 if module.padding == "same" else 0
        if module.padding == "same" and dilation * (kernel - 1) % 2:
            raise Unknown(f"{where}: padding same of an even kernel")
    else:
        padding = _one(module.padding, where)
    settings = {"kernel": kernel, "stride": stride, "padding": padding, "bias": int(module.bias is not None)}
    if isinstance(module, nn.ConvTranspose2d):
        if module.groups != 1 or dilation != 1:
            raise Unknown(f"{where}: a transposed convolution with groups or dilation")
        more = _one(module.output_padding, where)
        yield Step("conv_transposed", {"channels": module.out_channels, **settings, "output_padding": more})
        return
    if module.padding_mode != "zeros":
        if module.padding_mode == "circular":
            raise Unknown(f"{where}: circular padding")
        yield _padding(module.padding_mode, *[padding] * 4)
        settings["padding"] = 0
    if module.groups == 1:
        yield Step("conv", {"channels": module.out_channels, **settings, "dilation": dilation})
    elif module.groups == module.in_channels == module.out_channels:
        yield Step("depthwise", {**settings, "dilation": dilation})
    else:
        raise Unknown(f"{where}: {module.groups} groups of channels; one, or one for each channel, can be cut")


def _padding(mode: str, left: int, right: int, top: int, bottom: int) -> Step:
    sides = dict(zip(SETTINGS["pad_zero"], (left, right, top, bottom), strict=True))
    return Step(cast("Operation", f"pad_{mode}"), sides)


def told(error: BaseException, file: str = "") -> str:
    """An error of others' code in one line, with the last line of `file` that it came through."""
    path = str(Path(file).absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    text = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    return f"{text} (line {lines[-1]})" if lines else text


def _upsample(antialias: bool, *sizes: Any, **others: Any) -> nn.Upsample:
    if antialias:
        raise ValueError("with antialias is not known")
    return nn.Upsample(*sizes, **others)


def _one(value: Any, where: str) -> int:
    """The whole number that is meant for both sides. Raises Unknown where they differ."""
    sides = set(value) if isinstance(value, tuple) else {value}
    number = sides.pop()
    if sides or not isinstance(number, int | float) or number != int(number):
        raise Unknown(f"{where}: {value}: one whole number for both sides is needed")
    return int(number)


ACTIVATIONS: dict[type, Operation] = {
    nn.ReLU: "relu", nn.GELU: "gelu", nn.SiLU: "silu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh",
}  # fmt: skip
FUNCTIONS: dict[Any, Operation] = {
    torch.relu: "relu", F.relu: "relu", Tensor.relu: "relu", Tensor.relu_: "relu",
    torch.tanh: "tanh", F.tanh: "tanh", Tensor.tanh: "tanh", Tensor.tanh_: "tanh",
    torch.sigmoid: "sigmoid", F.sigmoid: "sigmoid", Tensor.sigmoid: "sigmoid",
    operator.add: "add", operator.iadd: "add", torch.add: "add", Tensor.add: "add", Tensor.add_: "add",
    operator.mul: "multiply", operator.imul: "multiply", torch.mul: "multiply", Tensor.mul: "multiply",
    torch.cat: "cat", torch.concat: "cat",
}  # fmt: skip
AS_MODULES: dict[Any, Callable[..., nn.Module]] = {
    F.leaky_relu: nn.LeakyReLU,
    F.gelu: nn.GELU,
    F.silu: nn.SiLU,
    F.interpolate: lambda *sizes, antialias=False, **others: _upsample(antialias, *sizes, **others),
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.dropout: lambda *_, **__: nn.Dropout(),
    F.pad: lambda pad, mode="constant", value=None: {
        "constant": nn.ZeroPad2d, "reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d
    }[mode](tuple(pad)),
}  # fmt: skip
