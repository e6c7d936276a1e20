"""What survives a pruning, and what every way of choosing it shares: bounds, units, and the search for a budget.

A way of choosing names architectures by one level, a threshold or a factor, from the dearest to the floor.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from understudy.arch.base import Arch
from understudy.arch.layers import Channels
from understudy.cost import Convention, Cost, cost
from understudy.errors import UserError
from understudy.prune.scores import Scores

Level = TypeVar("Level", float, Fraction)


@dataclass(frozen=True)
class Selection:
    """level: the threshold or the factor. evaluations: architectures costed.

    kept: ascending channel indices by group, its strongest, as many as the architecture has; none of what is removed.
    """

    level: float
    arch: Arch
    kept: Mapping[str, tuple[int, ...]]
    cost: Cost
    evaluations: int


def dearest(
    levels: Sequence[Level], narrowed: Callable[[Level], Arch], scores: Scores, budget: float, convention: Convention
) -> Selection:
    """The first of the architectures `narrowed(level)` within a budget of MACs.

    levels: from one to the next no width grows; the last one's architecture is in reach.
    """
    costed: dict[int, Cost] = {}

    def feasible(index: int) -> bool:
        costed[index] = cost(narrowed(levels[index]))
        return costed[index].macs(convention) <= budget

    # The last, which is feasible, is not asked again.
    index = bisect_left(range(len(levels) - 1), True, key=feasible)
    arch = narrowed(levels[index])
    widths = arch.widths()
    kept = {name: strongest(values, widths.get(name, 0)) for name, values in scores.items()}
    return Selection(float(levels[index]), arch, kept, cost(arch), len(costed))


def require_budget(floor: Arch, budget: float, convention: Convention, how: str) -> None:
    """Raise UserError when not even `floor`, the narrowest architecture, meets a budget of MACs. how: it was made."""
    macs = cost(floor).macs(convention)
    if macs > budget:
        raise UserError(
            f"prune.macs_budget_g: {budget / 1e9:g} GMACs ({convention}) cannot be reached: with {how}, "
            f"{macs / 1e9:.6g} GMACs are left; raise the budget or lower min_width"
        )


def narrow(teacher: Arch, counts: Mapping[str, int], min_width: int) -> Arch:
    """The teacher with `counts` channels by group, lower bounds applied, what is empty removed.

    A count is rounded down to whole units. A group that follows another has no count of its own. min_width: lower bound
    of the widths that cannot vanish, in their units, capped by the teacher's.
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
