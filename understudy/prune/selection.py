"""What survives a pruning, and what every way of choosing it shares: bounds, units, and the search by what is counted.

A way of choosing names architectures by one level, a threshold or a factor, from the dearest to the floor.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np

from understudy.arch.base import Arch
from understudy.arch.layers import Channels
from understudy.cost import Cost, Counted, cost
from understudy.errors import UserError
from understudy.prune.scores import Scores

Level = TypeVar("Level", float, Fraction)

# By what is counted: how many make one of the unit that people read, its name, and the key that bounds it.
UNITS: Mapping[Counted, tuple[float, str, str]] = {
    "macs_true": (1e9, "GMACs (true)", "macs_true_g"),
    "macs_legacy": (1e9, "GMACs (legacy)", "macs_legacy_g"),
    "params": (1e6, "M parameters", "params_m"),
}


@dataclass(frozen=True)
class Ladder(Generic[Level]):
    """The architectures that one way of choosing can give, from the teacher to the floor.

    levels: from one to the next no width of `narrowed(level)` grows.
    """

    levels: Sequence[Level]
    narrowed: Callable[[Level], Arch]

    def arch(self, index: int) -> Arch:
        return self.narrowed(self.levels[index])


@dataclass(frozen=True)
class Selection:
    """level: the threshold or the factor. evaluations: architectures costed, or timed.

    kept: ascending channel indices by group, its strongest, as many as the architecture has; none of what is removed.
    wider: the cost of the next wider architecture that was asked for; None where the teacher itself was chosen.
    """

    level: float
    arch: Arch
    kept: Mapping[str, tuple[int, ...]]
    cost: Cost
    evaluations: int
    wider: Cost | None = None


@dataclass(frozen=True)
class Method(Generic[Level]):
    """A way of choosing. level: what it calls the one number that names an architecture.

    ladder: of a teacher, scores by group of channels (from `read_scores`), and min_width. floor: the narrowest of
    a teacher at min_width. floor_text: how that is made, by min_width.
    """

    level: str
    ladder: Callable[[Arch, Scores, int], Ladder[Level]]
    floor: Callable[[Arch, int], Arch]
    floor_text: Callable[[int], str]

    def select(self, teacher: Arch, scores: Scores, budget: float, counted: Counted, min_width: int) -> Selection:
        """The dearest architecture within a budget that one level can give.

        budget: MACs for one image of the teacher's size, or parameters. A budget that the teacher meets returns the
        teacher. Raises UserError, naming the floor, for one out of reach.
        """
        self.require_reachable(teacher, budget, counted, min_width)
        return dearest(self.ladder(teacher, scores, min_width), scores, budget, counted)

    def require_reachable(self, teacher: Arch, budget: float, counted: Counted, min_width: int) -> None:
        """Raise UserError, naming the floor, when not even that meets a budget."""
        least = cost(self.floor(teacher, min_width)).of(counted)
        if least > budget:
            scale, unit, key = UNITS[counted]
            raise UserError(
                f"prune.budget.{key}: {budget / scale:g} {unit} cannot be reached: with {self.floor_text(min_width)}, "
                f"{least / scale:.6g} {unit} are left; raise the budget or lower min_width"
            )


def dearest(ladder: Ladder[Level], scores: Scores, budget: float, counted: Counted) -> Selection:
    """The first of a ladder's architectures within a budget of MACs or parameters.

    The last one's architecture is in reach.
    """
    costed: dict[int, Cost] = {}

    def feasible(index: int) -> bool:
        costed[index] = cost(ladder.arch(index))
        return costed[index].of(counted) <= budget

    # The last, which is feasible, is not asked again.
    index = bisect_left(range(len(ladder.levels) - 1), True, key=feasible)
    arch = ladder.arch(index)
    kept = strongest_of(scores, arch)
    return Selection(float(ladder.levels[index]), arch, kept, cost(arch), len(costed), costed.get(index - 1))


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


def strongest_of(scores: Scores, arch: Arch) -> dict[str, tuple[int, ...]]:
    """By group of the teacher's channels, the strongest, as many as its student `arch` has."""
    widths = arch.widths()
    return {name: strongest(values, widths.get(name, 0)) for name, values in scores.items()}


def strongest(values: np.ndarray, count: int) -> tuple[int, ...]:
    """Ascending indices of the `count` largest of `values` [channels]; of equal ones the first."""
    return tuple(sorted(np.argsort(-values, kind="stable")[:count].tolist()))
