"""The widest network whose measured latency is within a budget of milliseconds: the search alone, no clock.

Latency is noisy, drifts with whatever else the machine does, and is only roughly a function of the MACs: a width that
suits the vector units may be faster than a narrower one. So

- each network is timed in rounds, in turn with the teacher, and its reading is the median of its shares of the
  teacher's time, times the teacher's median over the whole search: what slows both cancels out;
- all timings of a network count, and the bracket is drawn anew from all readings each time, so that one bad timing
  misleads only until the next;
- inside the bracket the next level is interpolated; where it closes on a step, the networks about the step are timed
  too;
- a network is chosen only when a fresh timing, after those for which it was looked at, lands where the budget asks.
"""

import statistics
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from understudy.arch.base import Arch
from understudy.cost import cost
from understudy.errors import UserError
from understudy.prune.scores import Scores
from understudy.prune.selection import Ladder, Level, Selection, strongest_of

Round = tuple[float, float]  # milliseconds: of a network and, right after it, of the teacher

LEAST = 0.9  # of the budget: the choice lands between this and the budget
AIM = 0.95  # of the budget: what is searched for
CLOSE = 0.03  # of the budget about the aim: readings that are confirmed at once
MOST_TIMINGS = 30
TIMINGS_OF_ONE = 4  # of a network that never lands where its other timings say
ABOUT = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12)  # of the ladder, on either side of a step in the latencies


@dataclass(frozen=True)
class Measured:
    """Milliseconds, medians. student_ms: of the fresh timing. readings: of every network timed, by its true MACs."""

    budget_ms: float
    teacher_ms: float
    student_ms: float
    timings: int
    readings: Mapping[int, float]


def select(
    ladder: Ladder[Level], scores: Scores, budget_ms: float, time: Callable[[Arch], Sequence[Round]], how: str
) -> tuple[Selection, Measured]:
    """A network of the ladder that takes between 90 % and all of a budget, and what was measured.

    scores: by group of channels, from `read_scores`. time: one timing of a network, in rounds. how: the floor was made.
    Raises UserError, with what was measured, where the teacher is within the budget, where the floor is not, and where
    no network lands between.
    """
    search = _Search(ladder, time, budget_ms)
    index, fresh = search.run(how)
    arch = ladder.arch(index)
    chosen = Selection(float(ladder.levels[index]), arch, strongest_of(scores, arch), cost(arch), len(search.rounds))
    readings = {search.macs(timed): search.reading(timed) for timed in search.known()}
    return chosen, Measured(budget_ms, search.teacher_ms, fresh, search.timings, readings)


@dataclass
class _Search:
    """rounds: every timing by the index of its network in the ladder; 0 is the teacher, which is timed with each.

    counts: timings. costed: true MACs. unconfirmed: networks whose first timing alone was within the budget.
    """

    ladder: Ladder
    time: Callable[[Arch], Sequence[Round]]
    budget_ms: float
    rounds: dict[int, list[Round]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    costed: dict[int, int] = field(default_factory=dict)
    unconfirmed: int = 0

    def run(self, how: str) -> tuple[int, float]:
        """The chosen index and its fresh reading."""
        last = len(self.ladder.levels) - 1
        self._timed(last)
        if self.reading(last) > self.budget_ms:
            self._timed(last)  # it may have been bad luck
        self._require_between(last, how)
        while self.timings < MOST_TIMINGS and (index := self._next()) is not None:
            fresh = self._timed(index)
            if LEAST * self.budget_ms <= fresh <= self.budget_ms:
                if self.counts[index] > 1:
                    return index, fresh
                self.unconfirmed += 1
            self._require_between(last, how)  # again: the more is timed, the better both ends are known
        raise UserError(self._why_not())

    @property
    def timings(self) -> int:
        return sum(self.counts.values())

    @property
    def teacher_ms(self) -> float:
        return statistics.median(teacher for rounds in self.rounds.values() for _, teacher in rounds)

    def macs(self, index: int) -> int:
        if index not in self.costed:
            self.costed[index] = cost(self.ladder.arch(index)).macs_true
        return self.costed[index]

    def known(self) -> list[int]:
        """Indices of what has a reading, the teacher first."""
        return [0, *sorted(self.rounds)]

    def reading(self, index: int) -> float:
        """Milliseconds, by all timings of a network."""
        return self.teacher_ms if index == 0 else self._scaled(self.rounds[index])

    def _scaled(self, rounds: Sequence[Round]) -> float:
        return statistics.median(own / teacher for own, teacher in rounds) * self.teacher_ms

    def _timed(self, index: int) -> float:
        """Milliseconds, by one more timing alone."""
        rounds = self.time(self.ladder.arch(index))
        self.rounds.setdefault(index, []).extend(rounds)
        self.counts[index] = self.counts.get(index, 0) + 1
        return self._scaled(rounds)

    def _require_between(self, last: int, how: str) -> None:
        """Raise UserError when the budget is not between what the floor and the teacher take. last: the floor."""
        asked = f"prune.budget.latency_ms: {self.budget_ms:g} ms"
        if self.reading(last) > self.budget_ms:
            raise UserError(
                f"{asked} cannot be reached: with {how}, a network of {self.reading(last):.3g} ms is left "
                f"(the teacher takes {self.teacher_ms:.3g} ms); raise the budget or lower min_width"
            )
        if self.budget_ms >= self.teacher_ms:
            raise UserError(
                f"{asked} is no less than what the teacher takes, {self.teacher_ms:.3g} ms; lower the budget, down to "
                f"the {self.reading(last):.3g} ms of the smallest network"
            )

    def _next(self) -> int | None:
        """The network to time: one that looks right, else one that tells where such a network is."""
        steps = self._steps()
        for index in (self._nearest(CLOSE), *(self._between(*step) for step in steps), self._nearest(1 - AIM)):
            if index is not None:
                return index
        return next((index for step in steps for index in self._about(*step)), None)

    def _nearest(self, tolerance: float) -> int | None:
        """Of the networks whose reading is within a tolerance of the aim the nearest, unless it was timed too often."""
        distances = {
            index: abs(self.reading(index) / self.budget_ms - AIM)
            for index, count in self.counts.items()
            if count < TIMINGS_OF_ONE
        }
        nearest = min(distances, key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] <= tolerance else None

    def _steps(self) -> list[tuple[int, int]]:
        """Neighbours among what was timed, of which the wider is above the aim and the narrower is not."""
        aim = AIM * self.budget_ms
        return [(wide, slim) for wide, slim in pairwise(self.known()) if self.reading(wide) > aim >= self.reading(slim)]

    def _between(self, wide: int, slim: int) -> int | None:
        """The level where a line through both readings meets the aim, or one near it; None: no network is between."""
        above, below = self.reading(wide), self.reading(slim)
        share = min(max((above - AIM * self.budget_ms) / (above - below), 0.25), 0.75)
        index = wide + round(share * (slim - wide))
        most, least = self.macs(wide), self.macs(slim)
        if self.macs(index) == least:
            index = self._first(least, slim) - 1
        elif self.macs(index) == most:
            index = self._first(most - 1, slim)
        return index if least < self.macs(index) < most else None

    def _about(self, wide: int, slim: int) -> list[int]:
        """What to time where nothing is between two: themselves, if only once so far, then others on both sides."""
        again = [index for index in (wide, slim) if self.counts.get(index) == 1]
        known, last = {self.macs(index) for index in self.known()}, len(self.ladder.levels) - 1
        levels = (slim + sign * max(1, round(share * last)) for share in ABOUT for sign in (-1, 1))
        return again + [level for level in levels if 0 < level < last and self.macs(level) not in known]

    def _first(self, macs: int, last: int) -> int:
        """The first level of a network of no more than so many MACs; `last`, where no earlier one is."""
        return bisect_left(range(last), True, key=lambda level: self.macs(level) <= macs)

    def _why_not(self) -> str:
        readings = {index: self.reading(index) for index in self.known()}
        least, most = LEAST * self.budget_ms, self.budget_ms
        tried = f"{self.timings} timings of {len(self.rounds)} networks"
        if self.unconfirmed:
            return (
                f"prune.budget.latency_ms: {tried} gave none of {least:.3g} to {most:.3g} ms each time, "
                f"though {self.unconfirmed} did once: latencies vary too much here; run it again when less else runs"
            )
        above = min((reading for reading in readings.values() if reading > most), default=most)
        below = max((reading for reading in readings.values() if reading < least), default=least)
        return (
            f"prune.budget.latency_ms: no network takes between {least:.3g} and {most:.3g} ms ({tried}): the nearest "
            f"take {below:.3g} and {above:.3g} ms; set it to {below / AIM:.3g} or {above / AIM:.3g}"
        )
