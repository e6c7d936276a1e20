"""A network of a user's own, traced: from a torch.nn.Module in a file to an architecture as data.

The class needs no import from here. It takes `input_channels`, and says in three attributes what code cannot tell:
`stride`, what height and width must be multiples of; `taps`, the modules whose output distillation compares; `middle`,
the one of them for the semantic relation. Everything else follows from the graph of its operations, which torch.fx
records; one that is not known here is an error that names it, and so is a graph that does not compute what the class
does. Tracing runs the user's own file, named in the parameters. Nothing else ever does: the graph is all that is kept.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from understudy.arch.base import IMAGE_CHANNELS, Norm
from understudy.arch.custom import NORMS, CustomArch, Node
from understudy.arch.layers import INPUT, Size
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.foreign.operations import Step, Unknown, sources, steps, told
from understudy.models.custom import CustomGenerator

DOCUMENT = "docs/add-an-architecture.md"


def traced(file: str, name: str, encoding: Encoding, input_channels: int, size: Size) -> CustomArch:
    """The architecture of class `name` of a Python file, for images of `size`.

    Raises UserError, naming both, when the class is not there, fails, does what is not known here, or is no generator.
    """
    where = f"teacher.custom: {file}:{name}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _instance(file, name, input_channels, where)
        try:
            arch = _arch(net, f"{file}:{name}", encoding, input_channels, size)
            _require_same(net, arch)
        except (Unknown, ValueError, UserError) as error:
            raise UserError(f"{where}: {error}; {DOCUMENT} says what a generator may be made of") from None
    return arch


def _instance(file: str, name: str, input_channels: int, where: str) -> nn.Module:
    path = Path(file)
    if not path.is_file():
        raise UserError(f"{where}: no such file")
    spec = importlib.util.spec_from_file_location(f"understudy_custom_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{where}: not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and the like look themselves up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{where}: the file fails: {told(error)}") from error
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UserError(f"{where}: no torch.nn.Module of that name in the file")
    for attribute in ("stride", "taps", "middle"):
        if not hasattr(kind, attribute):
            raise UserError(f"{where}: the class has no attribute {attribute}; see {DOCUMENT}")
    try:
        return cast("nn.Module", kind(input_channels)).eval()
    except Exception as error:
        raise UserError(f"{where}: cannot be built from {input_channels} input channels: {told(error)}") from error


class _Tracer(fx.Tracer):
    """Notes which node is the output of each module, also of those that it traces through."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, str] = {}

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[self.path_of_module(m)] = output.node.name
        return output


def _arch(net: nn.Module, source: str, encoding: Encoding, input_channels: int, size: Size) -> CustomArch:
    tracer = _Tracer()
    try:
        graph = tracer.trace(net)
    except Exception as error:
        raise Unknown(f"cannot be traced: {told(error)}") from None
    nodes: list[Node] = []
    ends: dict[str, str] = {}  # the node here of a node of torch's graph
    norms: set[Norm] = set()
    for found in graph.nodes:
        if found.op == "placeholder":
            if ends:
                raise Unknown("forward takes more than one argument")
            ends[found.name] = INPUT
        elif found.op == "output":
            if not isinstance(found.args[0], fx.Node) or not nodes or ends[found.args[0].name] != nodes[-1].name:
                raise Unknown("forward does not return the last map that it makes, alone")
        else:
            maps = sources(found)
            last = [ends[node.name] for node in maps]
            for step in steps(net, found):
                weighted = "bias" in step.settings or step.op in NORMS
                name = str(found.target) if weighted else f"{step.op}:{len(nodes)}"
                if any(node.name == name for node in nodes):
                    raise Unknown(f"{name} is used twice in one pass; its weights can belong to one place only")
                nodes.append(Node(name, step.op, tuple(last), step.settings, step.value))
                last = [name]
                if step.op in NORMS:
                    norms.add(_norm(step))
            ends[found.name] = last[0]
    if len(norms) > 1:
        raise Unknown(f"norms of several kinds: {', '.join(sorted(norms))}; a generator has one")
    attributes: Any = net
    taps = {str(tap): ends.get(tracer.outputs.get(str(tap), ""), "") for tap in attributes.taps}
    if missing := [tap for tap, node in taps.items() if not node]:
        raise Unknown(f"taps: no module {', '.join(missing)} takes part in forward")
    order = [node.name for node in nodes]
    return CustomArch(
        size=size,
        encoding=encoding,
        input_channels=input_channels,
        output_channels=IMAGE_CHANNELS,
        norm=norms.pop() if norms else "instance",
        source=source,
        multiple=int(attributes.stride),
        tapped=dict(sorted(taps.items(), key=lambda tap: order.index(tap[1]))),
        relation=str(attributes.middle),
        nodes=tuple(nodes),
    )


def _norm(step: Step) -> Norm:
    if step.op == "batch_norm":
        return "batch"
    return "instance_affine" if step.settings["affine"] else "instance"


@torch.no_grad()
def _require_same(net: nn.Module, arch: CustomArch) -> None:
    """Raise Unknown when the graph has other weights than the network, or computes something else from them."""
    again = CustomGenerator(arch).eval()
    ours, theirs = set(again.state_dict()), set(net.state_dict())
    if ours != theirs:
        raise Unknown(f"weights that forward does not use as modules: {', '.join(sorted(ours ^ theirs)[:3])}")
    again.load_state_dict(net.state_dict())
    x = torch.rand(2, arch.input_channels, *arch.size) * 2 - 1
    try:
        expected: Tensor = net(x)
    except Exception as error:
        raise Unknown(f"fails on an input of {tuple(x.shape)}: {told(error)}") from None
    if not torch.allclose(again(x), expected, rtol=1e-3, atol=1e-4):
        raise Unknown("what was traced gives another image than the class does: forward is not the same each time")
