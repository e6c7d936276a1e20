"""The values that a network's image can have, whatever its weights: an interval, followed through the graph."""

import math
from collections.abc import Sequence

from understudy.arch.custom import Node
from understudy.arch.layers import INPUT

Interval = tuple[float, float]
EVERYTHING = (-math.inf, math.inf)
DEEPEST = {"gelu": -0.17, "silu": -0.279}  # their least value, rounded outwards


def reach(nodes: Sequence[Node]) -> Interval:
    """Least and greatest value of the last node, for inputs in [-1, 1]; never too narrow."""
    known: dict[str, Interval] = {INPUT: (-1.0, 1.0)}
    for node in nodes:
        known[node.name] = _of(node, [known[name] for name in node.reads])
    return known[nodes[-1].name]


def _of(node: Node, maps: list[Interval]) -> Interval:
    (low, high), value = maps[0], node.value or 0.0
    if node.op == "tanh":
        return math.tanh(low), math.tanh(high)
    if node.op == "sigmoid":
        return (1 + math.tanh(low / 2)) / 2, (1 + math.tanh(high / 2)) / 2
    if node.op == "relu":
        return max(low, 0.0), max(high, 0.0)
    if node.op in DEEPEST:
        return DEEPEST[node.op], max(high, 0.0)
    if node.op == "leaky_relu":
        ends = [end if end > 0 else _product(end, value) for end in (low, high)]
        return min(*ends, 0.0), max(*ends, 0.0)
    if node.op == "plus":
        return low + value, high + value
    if node.op == "times":
        return _hull([_product(low, value), _product(high, value)])
    if node.op == "add":
        return sum(one[0] for one in maps), sum(one[1] for one in maps)
    if node.op == "multiply":
        found = maps[0]
        for other in maps[1:]:
            found = _hull([_product(one, another) for one in found for another in other])
        return found
    if node.op == "cat":
        return _hull([end for one in maps for end in one])
    if node.op in ("pad_zero", "avg_pool"):  # which is padded with zeros too
        return min(low, 0.0), max(high, 0.0)
    if node.op in ("pad_reflect", "pad_replicate", "upsample_nearest", "upsample_bilinear", "max_pool", "global_pool"):
        return low, high
    return EVERYTHING


def _product(one: float, other: float) -> float:
    """Where a finite value is 0 it stays 0, also next to infinity."""
    return one * other if one and other else 0.0


def _hull(ends: list[float]) -> Interval:
    return min(ends), max(ends)
