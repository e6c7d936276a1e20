"""What is asked of the arms: each question is a table and a plot, and a family of tests that are corrected together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.bakeoff.paired import Difference, difference, holm

LOSSES = (
    "outputs", "features", "alignment-batch", "alignment-batch-centred", "alignment-global", "alignment-global-centred",
    "relation-l1", "relation-l1-centred", "relation-l2", "relation-l2-centred", "alignment-relation", "all",
)  # fmt: skip
Results = Mapping[str, Sequence[Mapping[str, Any]]]  # by arm, in order of seeds


@dataclass(frozen=True)
class Question:
    """title: what is asked. pairs: arms, each with the one that it is compared with."""

    name: str
    title: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """All that the answer needs, the references first."""
        references = [reference for _, reference in self.pairs]
        return tuple(dict.fromkeys((*references, *(arm for arm, _ in self.pairs))))


QUESTIONS = {
    question.name: question
    for question in (
        Question("noise", "How much do seeds differ, and what makes them differ less?",
                 (("raw-weights", "none"), ("constant-rate", "none"))),
        Question("losses", "Which loss helps a student, beside the ground truth and the discriminator?",
                 tuple((loss, "none") for loss in LOSSES)),
        Question("inheritance", "Does it help to start from the teacher's weights?",
                 (("inherit-norm", "all"), ("inherit-none", "all"), ("alone", "none"))),
        Question("discriminator", "Does it help to start from the teacher's discriminator?",
                 (("fresh-discriminator", "all"),)),
        Question("pruning", "Is what CAT's threshold keeps better than a narrower copy of the same cost?",
                 (("uniform", "all"),)),
        Question("time", "What does an arm cost, and is it worth it?", tuple((loss, "none") for loss in LOSSES)),
        Question("saturation", "Does a loss still have something to teach?", tuple((loss, "none") for loss in LOSSES)),
    )
}  # fmt: skip


def values(results: Results, arm: str, metric: str) -> dict[int, float]:
    """A metric of an arm by seed; a run that lacks it (too few test images) is left out."""
    return {
        result["seed"]: result["metrics"][metric]["value"]
        for result in results.get(arm, ())
        if metric in result["metrics"]
    }


def compared(question: Question, results: Results, metric: str) -> list[tuple[Difference, float] | None]:
    """Of each pair the difference and its p, corrected for the question's other pairs; None where seeds are missing."""
    found = [difference(values(results, arm, metric), values(results, other, metric)) for arm, other in question.pairs]
    corrected = iter(holm([one.p for one in found if one is not None]))
    return [None if one is None else (one, next(corrected)) for one in found]
