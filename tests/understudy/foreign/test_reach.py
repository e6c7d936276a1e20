"""The interval of an image's values holds every value that torch computes, and is exact where a person would be."""

import math

import pytest
import torch

from understudy.arch.custom import SETTINGS, VALUED, Node, Operation
from understudy.arch.layers import INPUT
from understudy.foreign.reach import reach
from understudy.models.custom import _function


def node(name: str, op: Operation, *reads: str, value: float = 0.2) -> Node:
    settings = {setting: int(setting in ("kernel", "stride", "scale")) for setting in SETTINGS.get(op, ())}
    return Node(name, op, reads, settings, value if op in VALUED else None)


CONVOLVED = Node("conv", "conv", (INPUT,), {
    "channels": 3, "kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "bias": 1}, None)  # fmt: skip


@pytest.mark.parametrize("op", [
    "relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "plus", "times", "pad_zero", "pad_reflect",
    "upsample_nearest", "upsample_bilinear", "max_pool", "avg_pool", "global_pool", "add", "multiply", "cat",
])  # fmt: skip
@pytest.mark.parametrize("scale", [-3.0, 0.5, 3.0])
def test_no_value_lies_outside(op, scale):
    x = torch.linspace(-1, 1, 400).view(1, 1, 20, 20)
    reads = ("scaled", "shifted") if op in ("add", "multiply", "cat") else ("scaled",)
    before = [node("scaled", "times", INPUT, value=scale), node("shifted", "plus", INPUT, value=0.7)]
    low, high = reach([*before, end := node("end", op, *reads)])
    found = _function(end)(*(x * scale, x + 0.7)[: len(reads)])
    assert low - 1e-6 <= found.min() and found.max() <= high + 1e-6
    assert high - low < 40  # and no interval is everything where the input has ends


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([], (-math.inf, math.inf)),
        (["tanh"], (-1, 1)),
        (["sigmoid"], (0, 1)),
        (["tanh", "tanh"], (-math.tanh(1), math.tanh(1))),
        (["relu", "tanh"], (0, 1)),
        (["batch_norm", "relu"], (0, math.inf)),
    ],
)
def test_the_reach_of_what_a_convolution_makes(ops, expected):
    nodes = [CONVOLVED]
    for op in ops:
        nodes.append(node(f"{op}:{len(nodes)}", op, nodes[-1].name) if op != "batch_norm" else Node(
            "norm", "batch_norm", ("conv",), {"affine": 1}, 1e-5))  # fmt: skip
    assert reach(nodes) == pytest.approx(expected)
    doubled = [*nodes, node("twice", "times", nodes[-1].name, value=2.0), node("shifted", "plus", "twice", value=-1.0)]
    assert reach(doubled) == pytest.approx([2 * end - 1 for end in expected])
