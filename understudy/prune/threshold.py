"""One global threshold on the norm scales, so that what is left costs no more than a budget (CAT, section 3.2).

Deliberate differences from the released code: the candidates are the scales themselves, searched by bisection, not real
numbers halved until a bracket closes, so the search always ends, at the dearest network in reach; costs are closed
forms, so no network is built; where a lower bound brings channels back, exactly as many come back as were costed.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from understudy.arch import Block, InceptionArch
from understudy.cost import Convention, Cost, cost
from understudy.errors import UserError
from understudy.prune.scores import Scores, pool


@dataclass(frozen=True)
class Selection:
    """What survives. A channel is kept if and only if its |γ| > threshold, or if a lower bound brings it back.

    kept: ascending channel indices by norm of the pool, none for a removed branch. evaluations: architectures costed.
    """

    threshold: float
    arch: InceptionArch
    kept: Mapping[str, tuple[int, ...]]
    cost: Cost
    evaluations: int


def select(teacher: InceptionArch, scores: Scores, budget: float, convention: Convention, min_width: int) -> Selection:
    """The dearest architecture within a budget that one threshold can give.

    scores: |γ| by norm of the pool, from `read_scores`. budget: MACs for one image of the teacher's size.
    min_width: lower bound of stem and head widths (capped by the teacher's); branches have none and may vanish.
    A budget that the teacher meets returns the teacher. Raises UserError, naming the floor, for one out of reach.
    """
    require_reachable(teacher, budget, convention, min_width)
    ordered = {name: np.sort(values) for name, values in scores.items()}
    distinct = np.unique(np.concatenate(list(scores.values())))
    # Strictly below every scale there is the teacher itself; at the largest there is the floor.
    thresholds = [float(np.nextafter(distinct[0], -np.inf)), *distinct.tolist()]
    costed: dict[int, Cost] = {}

    def narrowed(index: int) -> InceptionArch:
        counts = {
            name: values.size - int(np.searchsorted(values, thresholds[index], side="right"))
            for name, values in ordered.items()
        }
        return narrow(teacher, counts, min_width)

    def feasible(index: int) -> bool:
        costed[index] = cost(narrowed(index))
        return costed[index].macs(convention) <= budget

    # Widths, and with them the cost, never grow with the threshold: the first that is feasible is the dearest. The
    # floor, which is feasible, is not asked again.
    index = bisect_left(range(len(thresholds) - 1), True, key=feasible)
    arch = narrowed(index)
    widths = pool(arch)
    kept = {name: strongest(values, widths.get(name, 0)) for name, values in scores.items()}
    return Selection(thresholds[index], arch, kept, cost(arch), len(costed))


def require_reachable(teacher: InceptionArch, budget: float, convention: Convention, min_width: int) -> None:
    """Raise UserError, naming the floor, when not even the strictest threshold meets a budget of MACs."""
    floor = cost(narrow(teacher, dict.fromkeys(pool(teacher), 0), min_width)).macs(convention)
    if floor > budget:
        raise UserError(
            f"prune.macs_budget_g: {budget / 1e9:g} GMACs ({convention}) cannot be reached: with every branch removed "
            f"and stem and head at min_width {min_width}, {floor / 1e9:.6g} GMACs are left; "
            "raise the budget or lower min_width"
        )


def narrow(teacher: InceptionArch, counts: Mapping[str, int], min_width: int) -> InceptionArch:
    """The teacher with `counts` channels by norm of the pool, lower bounds applied, empty branches removed."""

    def bounded(norm: str, width: int) -> int:
        return min(max(counts[norm], min_width), width)

    def branches(index: int, kind: str, widths: Mapping[str, int]) -> dict[str, int]:
        survivors = {kernel: counts[f"blocks.{index}.{kind}.{kernel}.norm"] for kernel in widths}
        return {kernel: count for kernel, count in survivors.items() if count}

    first, second, trunk = teacher.stem
    half, full = teacher.head
    return replace(
        teacher,
        stem=(bounded("down.0.norm", first), bounded("down.1.norm", second), bounded("down.2.norm", trunk)),
        blocks=tuple(
            Block(branches(index, "conv", block.conv), branches(index, "depthwise", block.depthwise))
            for index, block in enumerate(teacher.blocks)
        ),
        head=(bounded("up.0.norm", half), bounded("up.1.norm", full)),
    )


def strongest(values: np.ndarray, count: int) -> tuple[int, ...]:
    """Ascending indices of the `count` largest of `values` [channels]; of equal ones the first."""
    return tuple(sorted(np.argsort(-values, kind="stable")[:count].tolist()))
