"""One global threshold on all channels' scores, so that what is left costs no more than a budget (CAT, section 3.2).

Deliberate differences from the released code: the candidates are the scores themselves, searched by bisection, not real
numbers halved until a bracket closes, so the search always ends, at the dearest network in reach; costs are closed
forms, so no network is built; where a lower bound brings channels back, exactly as many come back as were costed.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from understudy.arch.base import Arch
from understudy.arch.layers import Channels
from understudy.cost import Convention, Cost, cost
from understudy.errors import UserError
from understudy.prune.scores import Scores


@dataclass(frozen=True)
class Selection:
    """What survives. A channel is kept if and only if its score > threshold, or if a lower bound brings it back.

    Of a group that comes in units the strongest are kept, as many as make whole units; of one that follows another's
    width the strongest, as many as that width says, whatever their scores; of one that only removed layers would read
    (a modulation of a block without branches) none.

    kept: ascending channel indices by group, none for a removed branch or block. evaluations: architectures costed.
    """

    threshold: float
    arch: Arch
    kept: Mapping[str, tuple[int, ...]]
    cost: Cost
    evaluations: int


def select(teacher: Arch, scores: Scores, budget: float, convention: Convention, min_width: int) -> Selection:
    """The dearest architecture within a budget that one threshold can give.

    scores: by group of channels, from `read_scores`. budget: MACs for one image of the teacher's size.
    min_width: lower bound of the widths that cannot vanish, in their units, capped by the teacher's. The others, inside
    the residual branches and blocks, have none.
    A budget that the teacher meets returns the teacher. Raises UserError, naming the floor, for one out of reach.
    """
    require_reachable(teacher, budget, convention, min_width)
    ordered = {name: np.sort(scores[name]) for name, group in teacher.groups().items() if group.follows is None}
    distinct = np.unique(np.concatenate(list(ordered.values())))
    # Strictly below every score there is the teacher itself; at the largest there is the floor.
    thresholds = [float(np.nextafter(distinct[0], -np.inf)), *distinct.tolist()]
    costed: dict[int, Cost] = {}

    def narrowed(index: int) -> Arch:
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
    widths = arch.widths()
    kept = {name: strongest(values, widths.get(name, 0)) for name, values in scores.items()}
    return Selection(thresholds[index], arch, kept, cost(arch), len(costed))


def require_reachable(teacher: Arch, budget: float, convention: Convention, min_width: int) -> None:
    """Raise UserError, naming the floor, when not even the strictest threshold meets a budget of MACs."""
    floor = cost(narrow(teacher, dict.fromkeys(teacher.widths(), 0), min_width)).macs(convention)
    if floor > budget:
        raise UserError(
            f"prune.macs_budget_g: {budget / 1e9:g} GMACs ({convention}) cannot be reached: with all that may vanish "
            f"removed and every other width at min_width {min_width}, {floor / 1e9:.6g} GMACs are left; "
            "raise the budget or lower min_width"
        )


def narrow(teacher: Arch, counts: Mapping[str, int], min_width: int) -> Arch:
    """The teacher with `counts` channels by group, lower bounds applied, what is empty removed.

    A count is rounded down to whole units. A group that follows another has no count of its own.
    """

    def width(group: Channels) -> int:
        leader = groups[group.follows or group.name]
        if group.removable:
            return counts[leader.name]
        units = min(max(counts[leader.name] // leader.unit, min_width), leader.width // leader.unit)
        return units * group.unit

    groups = teacher.groups()
    return teacher.with_widths({name: width(group) for name, group in groups.items()})


def strongest(values: np.ndarray, count: int) -> tuple[int, ...]:
    """Ascending indices of the `count` largest of `values` [channels]; of equal ones the first."""
    return tuple(sorted(np.argsort(-values, kind="stable")[:count].tolist()))
