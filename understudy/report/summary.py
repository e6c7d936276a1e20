"""What the page begins with: the verdict rule by rule, the numbers that sum a run up, and the reasons of a failure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from understudy.files import sha256
from understudy.gate import EVALUATION
from understudy.metrics.protocol import FRECHET, L1_TO_INPUT, MIOU, READINGS, TARGET_SHARE
from understudy.report.gather import Run
from understudy.report.tables import Table, label, tables
from understudy.verdict import Verdict, ordered

READ = {  # what each kind's judge reads
    MIOU: "mIoU, higher is better",
    L1_TO_INPUT: "L1 to the input, read back; lower is better",
    TARGET_SHARE: "taken for the target domain, higher is better",
}
DISTANCE = "Fréchet distance, lower is better"


@dataclass(frozen=True)
class Rule:
    """One finding of the gate for the page. sentence: value and bound; origins: where each came from."""

    outcome: str
    metric: str
    rule: str
    sentence: str
    origins: tuple[str, ...]


def rules(verdict: Verdict) -> list[Rule]:
    """Every rule, failed ones first."""
    found = []
    for finding in ordered(verdict.rules):
        sentence, _, origins = finding.message.removeprefix(f"{finding.metric}: ").partition(" [")
        parts = tuple(part for part in origins.removesuffix("]").split("; ") if part)
        rule = "" if finding.rule in ("none", "informational") else finding.rule.replace("_", " ")
        found.append(Rule(finding.outcome, label(finding.metric), rule, sentence, parts))
    return found


def stale(run: Run, verdict: Verdict) -> str:
    """Why a verdict does not speak of the evaluation that is shown, or nothing when it does."""
    if sha256(run.path(EVALUATION)) == verdict.evaluation_sha256:
        return ""
    return "This verdict is about another evaluation than the one shown below; `dvc repro gate` judges this one."


@dataclass(frozen=True)
class Figure:
    """One number that sums the run up. value: as shown; what: it is; beside: what it is to be seen against."""

    value: str
    what: str
    beside: str


def headline(run: Run) -> list[Figure]:
    """What a reader wants to know first: how much smaller, how good, how fast."""
    models, kind = run.evaluation["models"], run.evaluation["kind"]
    found = []
    for name, what in (("macs_true_g", "fewer multiply-accumulates"), ("params_m", "fewer parameters")):
        teacher, student = (models[model].get(name, {}).get("value") for model in ("teacher", "student"))
        if teacher and student:
            beside = f"{student:.3g} of {teacher:.3g} {name[-1].upper()}"
            found.append(Figure(f"{teacher / student:.1f}×", what, beside))
    for name, what in ((READINGS[kind][0].name, READ[READINGS[kind][0].name]), (FRECHET[kind], DISTANCE)):
        if name in models["student"]:
            beside = ", ".join(f"{other} {models[other][name]['value']:.3f}" for other in ("teacher", "baseline")
                               if name in models[other])  # fmt: skip
            found.append(Figure(f"{models['student'][name]['value']:.3f}", what, beside))
    return found


def evaluation_tables(run: Run) -> tuple[list[Table], Table]:
    """Quality and differences, which the summary shows, and cost."""
    quality, differences, cost = tables(run.evaluation, run.latency())
    return [quality, differences], cost


def reasons(text: str) -> Iterator[str]:
    """A reason that a stage left, line by line, without escape sequences that a terminal would act on."""
    yield from re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text).splitlines()
