"""One global threshold on all channels' scores, so that what is left costs no more than a budget (CAT, section 3.2).

Deliberate differences from the released code: the candidates are the scores themselves, searched by bisection, not real
numbers halved until a bracket closes, so the search always ends, at the dearest network in reach; costs are closed
forms, so no network is built; where a lower bound brings channels back, exactly as many come back as were costed.
"""

import numpy as np

from understudy.arch.base import Arch
from understudy.prune.scores import Scores
from understudy.prune.selection import Ladder, Method, narrow


def ladder(teacher: Arch, scores: Scores, min_width: int) -> Ladder[float]:
    """What each threshold leaves of the teacher.

    A channel is kept if and only if its score > threshold, or if a lower bound brings it back. Of a group that comes in
    units the strongest are kept, as many as make whole units; of one that follows another's width the strongest, as
    many as that width says, whatever their scores; of one that only removed layers would read (a modulation of a block
    without branches) none.

    min_width: lower bound of the widths that cannot vanish, in their units, capped by the teacher's. The others, inside
    the residual branches and blocks, have none.
    """
    ordered = {name: np.sort(scores[name]) for name, group in teacher.groups().items() if group.follows is None}
    distinct = np.unique(np.concatenate(list(ordered.values())))

    def narrowed(threshold: float) -> Arch:
        counts = {
            name: values.size - int(np.searchsorted(values, threshold, side="right"))
            for name, values in ordered.items()
        }
        return narrow(teacher, counts, min_width)

    # Strictly below every score there is the teacher itself; at the largest there is the floor.
    return Ladder([float(np.nextafter(distinct[0], -np.inf)), *distinct.tolist()], narrowed)


def floor(teacher: Arch, min_width: int) -> Arch:
    """What the strictest threshold leaves."""
    return narrow(teacher, dict.fromkeys(teacher.widths(), 0), min_width)


def floor_text(min_width: int) -> str:
    """How the floor is made."""
    return f"all that may vanish removed and every other width at min_width {min_width}"


THRESHOLD = Method("threshold", ladder, floor, floor_text)
