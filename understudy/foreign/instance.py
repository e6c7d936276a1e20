"""A class of a user's own file: made, asked for its attributes, and tried on one input before anybody traces it.

Whatever the file, the class or its `forward` does wrong is one error that says where, by the line of the file where it
has one.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from understudy.arch.base import IMAGE_CHANNELS
from understudy.errors import UserError, in_one_line
from understudy.foreign.operations import Unknown, told

DOCUMENT = "docs/add-an-architecture.md"
ATTRIBUTES = ("stride", "taps", "middle")


@dataclass(frozen=True)
class Protocol:
    """What a class says of itself. taps: names of its modules. middle: one of them."""

    stride: int
    taps: tuple[str, ...]
    middle: str


def instance(file: str, name: str, input_channels: int, where: str) -> nn.Module:
    """An instance of class `name` of a Python file, in eval mode. Raises UserError, beginning with `where`."""
    module = _run(file, where)
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        classes = [
            own for own, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
        ]  # fmt: skip
        is_other = f"{name} is a {type(kind).__name__}, and " if kind is not None else ""
        raise UserError(
            f"{where}: no torch.nn.Module of that name in the file: {is_other}its classes are "
            f"{', '.join(classes) or 'none'}; set teacher.custom.name to the generator's"
        )
    for attribute in ATTRIBUTES:
        if not hasattr(kind, attribute):
            raise UserError(f"{where}: the class has no attribute {attribute}; write it in its body: see {DOCUMENT}")
    try:
        net = kind(input_channels).eval()
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{where}: cannot be built from {input_channels} input channels: {told(error, file)}; it is called with "
            f"that number alone: see {DOCUMENT}"
        ) from error
    if elsewhere := {weight.device.type for weight in net.parameters()} - {"cpu"}:
        raise UserError(f"{where}: makes weights on {', '.join(elsewhere)}; leave them on the CPU, stages move them")
    return net


def _run(file: str, where: str) -> ModuleType:
    path = Path(file)
    if not path.is_file():
        what = "a folder, expected a file" if path.is_dir() else "no such file; paths begin where the stage is run"
        raise UserError(f"{where}: {what}")
    spec = importlib.util.spec_from_file_location(f"understudy_custom_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{where}: not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and the like look themselves up
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{where}: the file fails: {told(error, file)}; imports are looked for among the installed packages and "
            "where the stage is run"
        ) from error
    except SystemExit as error:
        raise UserError(
            f"{where}: the file ends the program when it is imported: {told(error, file)}; put what it does as a "
            "program under if __name__ == '__main__'"
        ) from error
    except Exception as error:
        raise UserError(f"{where}: the file fails: {told(error, file)}; mend it: python {file} must run") from error
    return module


def protocol(net: nn.Module, file: str, size: tuple[int, int]) -> Protocol:
    """What the class says in its three attributes. size: of images here. Raises Unknown, naming the attribute."""
    found: dict[str, Any] = {}
    for name in ATTRIBUTES:
        if name in dict(net.named_children()):
            raise Unknown(f"{name}: a module of it has this name, which is an attribute's here; rename the module")
        try:
            found[name] = getattr(net, name)
        except Exception as error:
            raise Unknown(f"{name}: cannot be read: {told(error, file)}") from error
    stride, taps, middle = found.values()
    if not isinstance(stride, int) or isinstance(stride, bool) or stride < 1:
        raise Unknown(
            f"stride: expected a whole number from 1, what height and width are multiples of; found {stride!r}"
        )
    if any(side % stride for side in size):
        raise Unknown(f"stride: {stride}: images here are {size[0]}x{size[1]}, no multiple of it; change prepare.size")
    if not isinstance(taps, tuple | list) or not taps or not all(isinstance(tap, str) for tap in taps):
        raise Unknown(
            f'taps: expected names of modules, such as ("down", "blocks.1") or, one alone, ("down",); found {taps!r}'
        )
    names = [name for name, _ in net.named_modules() if name]
    for index, tap in enumerate(taps):
        if tap not in names:
            raise Unknown(f"taps: it has no module {tap}; among its modules are {', '.join(names[:12])}")
        if tap in taps[:index]:
            raise Unknown(f"taps: {tap} is there twice")
    if not isinstance(middle, str) or middle not in taps:
        raise Unknown(f"middle: {in_one_line(middle)} is no tap; taps: {', '.join(taps)}")
    return Protocol(stride, tuple(taps), middle)


@torch.no_grad()
def tried(net: nn.Module, x: Tensor, taps: tuple[str, ...], file: str) -> Tensor:
    """The image that it makes of `x` [N, C, H, W]. Raises Unknown for any other result, also of a tapped module."""
    outputs: dict[str, Any] = {}
    shape, given = (x.shape[0], IMAGE_CHANNELS, *x.shape[2:]), f"an input of {tuple(x.shape)}"
    with _watched(net, taps, outputs):
        try:
            image = net(x)
        except (Exception, SystemExit) as error:
            raise Unknown(
                f"forward fails on {given}, {x.shape[1]} being the input_channels that the class was given: "
                f"{told(error, file)}"
            ) from error
    if not isinstance(image, Tensor):
        raise Unknown(f"forward returns a {type(image).__name__}; expected the image alone, a tensor of {shape}")
    if image.shape != shape:
        raise Unknown(f"forward makes {tuple(image.shape)} of {given}; expected the image, {shape}")
    if image.dtype != x.dtype:
        raise Unknown(f"forward makes {image.dtype} of {x.dtype}; let it keep the type")
    if not image.isfinite().all():
        raise Unknown(f"forward makes NaN or infinite values of {given}")
    for tap in taps:
        if tap not in outputs:
            raise Unknown(
                f"taps: no module {tap} takes part in forward: it is never called (a ModuleList never is: name one of "
                "its members)"
            )
        if not isinstance(output := outputs[tap], Tensor) or output.dim() != 4:
            what = f"{tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise Unknown(f"taps: {tap} makes {what}; expected one map, [N, C, H, W]")
    return image


@contextmanager
def _watched(net: nn.Module, taps: tuple[str, ...], outputs: dict[str, Any]) -> Iterator[None]:
    """While it lasts, `outputs` is given what each tapped module makes."""
    hooks = [
        net.get_submodule(tap).register_forward_hook(lambda _, __, output, tap=tap: outputs.update({tap: output}))
        for tap in taps
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
