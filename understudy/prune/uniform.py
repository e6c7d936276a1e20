"""The same network, narrower: one factor on every width, so that what is left costs no more than a budget.

The width-only student that both papers compare with, and SRPKD's own: at the cost of a ResNet or UNet of ngf 32 or 16,
one of ngf 64 becomes exactly that network. What survives of a width is its strongest channels.
"""

from fractions import Fraction

from understudy.arch.base import Arch
from understudy.prune.scores import Scores
from understudy.prune.selection import Ladder, Method, narrow


def ladder(teacher: Arch, scores: Scores, min_width: int) -> Ladder[Fraction]:
    """What each factor leaves of the teacher, whatever the scores.

    Every width becomes floor(factor x width), in its units, and at least 1, so that nothing vanishes; outside the
    residual branches and blocks at least min_width units, capped by the teacher's.
    """
    # Between two of these no width changes.
    units = {group.width // group.unit for group in teacher.groups().values() if group.follows is None}
    factors = sorted({Fraction(count, of) for of in units for count in range(1, of + 1)}, reverse=True)
    return Ladder(factors, lambda factor: _narrowed(teacher, factor, min_width))


def floor(teacher: Arch, min_width: int) -> Arch:
    """What a factor of 0 would leave, since nothing vanishes."""
    return _narrowed(teacher, Fraction(0), min_width)


def floor_text(min_width: int) -> str:
    """How the floor is made."""
    return f"every width at min_width {min_width}, and at 1 inside branches and blocks"


def _narrowed(teacher: Arch, factor: Fraction, min_width: int) -> Arch:
    counts = {name: max(1, int(factor * width)) for name, width in teacher.widths().items()}
    return narrow(teacher, counts, min_width)


UNIFORM = Method("factor", ladder, floor, floor_text)
