"""What is said of a branch before it is merged: stale or not, judged anew, and whether its policy asks for less.

It reads the files of one revision, laid out below a folder, and asks neither git nor a remote. The verdict that was
committed is not taken at its word: the gate judges the committed evaluation again, by the committed policy, and what
comes out must be the committed verdict. It cannot know an evaluation that was itself invented: that takes the graph run
again, somewhere trusted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from understudy.errors import DATA_FAILED, GATE_FAILED, OK, STALE
from understudy.export.record import FILES, RECORD, read_record
from understudy.files import read_json
from understudy.gate import DATASET, EVALUATION, STUDENT, TEST_SPLIT, read_evaluation
from understudy.params.gate import INFORMATIONAL, Gate
from understudy.params.leaves import Change, differences
from understudy.params.loader import parse, read, section_name
from understudy.rejudging import judge_again
from understudy.report.parameters import PARAMS
from understudy.verdict import PATH, Verdict, read_verdict

# What the gate reads, and what it wrote; with FILES, as far as there are any.
JUDGED = (PARAMS, PATH, EVALUATION, RECORD, DATASET, TEST_SPLIT, *STUDENT)
POLICY = section_name(Gate)

Effect = Literal["looser", "stricter", "shown, never judged"]


@dataclass(frozen=True)
class Review:
    """stale: stage -> why it would run again. missing: outputs that the remote lacks. problem: why there is no verdict
    to go by. verdict: judged anew; None where there is a problem, or where it would be about a stale evaluation.
    """

    stale: Mapping[str, Sequence[str]]
    missing: Sequence[str] = ()
    problem: str = ""
    verdict: Verdict | None = None

    @property
    def code(self) -> int:
        """The exit code. A stale branch is told so whatever its old verdict says."""
        if self.stale:
            return STALE
        if self.missing or self.verdict is None:
            return DATA_FAILED
        return OK if self.verdict.passed else GATE_FAILED


@dataclass(frozen=True)
class PolicyChange:
    """A rule of the policy that is another, new or gone. rule: METRIC.RULE. before, after: its bound; None: no rule."""

    rule: str
    before: Any
    after: Any
    effect: Effect


def policy_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[PolicyChange]:
    """How the policy of two parameter files differs, which are given as they stand: an older one may not load."""
    then, now = (values.get(POLICY) or {} for values in (before, after))
    return [PolicyChange(change.key, change.before, change.after, _effect(change)) for change in differences(then, now)]


def _effect(change: Change) -> Effect:
    rule = change.key.rpartition(".")[2]
    if rule == INFORMATIONAL:
        return "shown, never judged"
    if change.before is None or change.after is None:
        return "stricter" if change.before is None else "looser"
    try:
        raised = change.after > change.before
    except TypeError:  # a bound that is no number, which the policy does not load with
        return "looser"
    return "looser" if raised != (rule == "min") else "stricter"


def other_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The parameters that differ between two files, the policy aside."""
    then, now = ({key: value for key, value in values.items() if key != POLICY} for values in (before, after))
    return differences(then, now)


def committed_verdict(root: Path) -> Verdict:
    """The verdict of the gate on JUDGED's files below `root`, which must be the one that was committed there.

    Raises UserError with code DATA_FAILED when it is not, or when those files do not speak of each other.
    """
    gate = parse(Gate, read(root / PARAMS).get(POLICY), f"{PARAMS}: {POLICY}")
    evaluation, digest = read_evaluation(root)
    return judge_again(gate, evaluation, digest, read_record(root, digest), read_verdict(root / PATH))


def absent_for_judging(root: Path, absent: Mapping[str, str]) -> list[str]:
    """Why what the gate reads could not all be brought to `root`. absent: reason by name, of JUDGED and FILES."""
    if reasons := [absent[name] for name in JUDGED if name in absent]:
        return reasons
    exported = read_json(root / RECORD).get("models", {})
    return [absent[file] for kind, file in FILES.items() if kind in exported and file in absent]
