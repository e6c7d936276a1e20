"""A network of a user's own, traced: from a torch.nn.Module in a file to an architecture as data.

The class needs no import from here. It takes `input_channels`, and says in three attributes what code cannot tell:
`stride`, what height and width must be multiples of; `taps`, the modules whose output distillation compares; `middle`,
the one of them for the semantic relation. Everything else follows from the graph of its operations, which torch.fx
records; one that is not known here is an error that names it, and so is a graph that does not compute what the class
does. Tracing runs the user's own file, named in the parameters. Nothing else ever does: the graph is all that is kept.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from understudy.arch.base import IMAGE_CHANNELS, Norm
from understudy.arch.custom import NORMS, CustomArch, Node
from understudy.arch.layers import INPUT, Size
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.foreign.instance import DOCUMENT, instance, protocol, tried
from understudy.foreign.operations import Unknown, sources, steps, told
from understudy.foreign.reach import reach
from understudy.models.custom import CustomGenerator

SLACK = 0.01  # of the image's range


def traced(file: str, name: str, encoding: Encoding, input_channels: int, size: Size) -> CustomArch:
    """The architecture of class `name` of a Python file, for images of `size`.

    Raises UserError, naming both, when the class is not there, fails, does what is not known here, or is no generator.
    """
    where = f"teacher.custom: {file}:{name}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = instance(file, name, input_channels, where)
        x = torch.rand(2, input_channels, *size) * 2 - 1
        try:
            says = protocol(net, file, size)
            image = tried(net, x, says.taps, file)
            found = _read(net, file)
            arch = CustomArch(
                size=size,
                encoding=encoding,
                input_channels=input_channels,
                output_channels=IMAGE_CHANNELS,
                norm=found.norm,
                source=f"{file}:{name}",
                multiple=says.stride,
                tapped=found.tapped(says.taps),
                relation=says.middle,
                nodes=found.nodes,
            )
            _require_same(net, arch, x, image)
            _require_range(arch)
        except (Unknown, ValueError, UserError) as error:
            raise UserError(f"{where}: {error}; {DOCUMENT} says what a generator may be made of") from None
    return arch


class _Tracer(fx.Tracer):
    """Notes which node is the output of each module, also of those that it traces through, and in which line of the
    file a node was made."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.path = str(Path(file).absolute())
        self.outputs: dict[str, str] = {}
        self.lines: dict[str, int] = {}

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[self.path_of_module(m)] = output.node.name
        return output

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        frame = inspect.currentframe()
        while frame and frame.f_code.co_filename != self.path:
            frame = frame.f_back
        if frame:
            self.lines[node.name] = frame.f_lineno
        return node


@dataclass(frozen=True)
class _Graph:
    """nodes: in the order of the forward pass. norm: their kind. ends: the node that makes a module's output."""

    nodes: tuple[Node, ...]
    norm: Norm
    ends: Mapping[str, str]

    def tapped(self, taps: tuple[str, ...]) -> dict[str, str]:
        """The node of each tap, in the order of the forward pass. Raises Unknown."""
        found: dict[str, str] = {}
        for tap in taps:
            if (end := self.ends[tap]) == INPUT:
                raise Unknown(f"taps: {tap} gives the input on as it is; there is nothing to compare")
            if end in found.values():
                (other,) = (one for one, node in found.items() if node == end)
                raise Unknown(f"taps: {other} and {tap} make the same map; name one of them")
            found[tap] = end
        order = [node.name for node in self.nodes]
        return dict(sorted(found.items(), key=lambda tap: order.index(tap[1])))


def _read(net: nn.Module, file: str) -> _Graph:
    tracer = _Tracer(file)
    try:
        graph = tracer.trace(net)
    except Exception as error:
        raise Unknown(f"cannot be traced: {told(error, file)}") from None
    nodes: list[Node] = []
    ends: dict[str, str] = {}  # the node here of a node of torch's graph
    for found in graph.nodes:
        if found.op == "placeholder":
            if ends or str(found.target).startswith("*"):
                raise Unknown("forward takes more than one argument")
            ends[found.name] = INPUT
        elif found.op == "output":
            if not isinstance(found.args[0], fx.Node) or not nodes or ends[found.args[0].name] != nodes[-1].name:
                raise Unknown("forward does not return the last map that it makes, alone")
        else:
            try:
                nodes += (made := _made(net, found, ends, nodes))
            except (Unknown, ValueError) as error:
                line = f" (line {tracer.lines[found.name]})" if found.name in tracer.lines else ""
                raise Unknown(f"{error}{line}") from None
            ends[found.name] = made[-1].name if made else ends[sources(found)[0].name]
    read = {name for node in nodes for name in node.reads}
    if unread := [node.name for node in nodes[:-1] if node.name not in read]:
        raise Unknown(f"nothing in forward uses what {unread[0]} makes; leave it out")
    norms = {_norm(node) for node in nodes if node.op in NORMS}
    if len(norms) > 1:
        raise Unknown(f"norms of several kinds: {', '.join(sorted(norms))}; a generator has one")
    outputs = {module: ends[name] for module, name in tracer.outputs.items()}
    return _Graph(tuple(nodes), norms.pop() if norms else "instance", outputs)


def _made(net: nn.Module, found: fx.Node, ends: Mapping[str, str], before: list[Node]) -> list[Node]:
    """The nodes here of one of torch's graph. Raises Unknown, and ValueError for numbers that make no network."""
    made: list[Node] = []
    last = [ends[node.name] for node in sources(found)]
    for step in steps(net, found):
        weighted = "bias" in step.settings or step.op in NORMS
        name = str(found.target) if weighted else f"{step.op}:{len(before) + len(made)}"
        if any(node.name == name for node in before):
            raise Unknown(f"{name} is used twice in one pass; its weights can belong to one place only")
        made.append(Node(name, step.op, tuple(last), step.settings, step.value))
        last = [name]
    return made


def _norm(node: Node) -> Norm:
    if node.op == "batch_norm":
        return "batch"
    return "instance_affine" if node.settings["affine"] else "instance"


@torch.no_grad()
def _require_same(net: nn.Module, arch: CustomArch, x: Tensor, image: Tensor) -> None:
    """Raise Unknown when the graph has other weights than the network, or computes something else from them."""
    again = CustomGenerator(arch).eval()
    ours, theirs = set(again.state_dict()), set(net.state_dict())
    if ours != theirs:
        raise Unknown(f"weights that forward does not use as modules: {', '.join(sorted(ours ^ theirs)[:3])}")
    again.load_state_dict(net.state_dict())
    if not torch.allclose(again(x), image, rtol=1e-3, atol=1e-4):
        raise Unknown(
            "what was traced gives another image than the class does: forward is not the same each time (random "
            "numbers, F.dropout without training=self.training), or changes a map in place that it reads again"
        )


def _require_range(arch: CustomArch) -> None:
    """Raise Unknown when the image's values cannot fill [-1, 1], or can leave it."""
    low, high = reach(arch.nodes)
    if abs(low + 1) > SLACK or abs(high - 1) > SLACK:
        raise Unknown(
            f"the image's values reach from {low:.3g} to {high:.3g}; expected [-1, 1], black to white: let forward end "
            "with tanh()"
        )
