"""What may become champion, and why. Pure: the registry calls are in understudy/adapters/promoting.py."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from understudy.gate import EVALUATION, STUDENT_MODEL, judge_against_champion
from understudy.params.gate import Gate, Policy
from understudy.verdict import Finding, Verdict

# A value that was measured anew may differ from the first by rounding, on another processor too. That moves a metric by
# far less than another choice of test images would: a share of its 95 % interval, as it is measured anew, since whoever
# invents a value invents an interval too. The interval's ends rest on resamples, of which there may be more by now.
REPRODUCED_WITHIN = 0.1
ENDS_WITHIN = 0.25
PEAK, PEAK_WITHIN = "peak_activation_mb", 0.05  # of itself: another release of torch may keep other tensors meanwhile


@dataclass(frozen=True)
class Decision:
    """promote: whether the student may become champion. reasons: against it. notes: what else there is to know.

    findings: of every rule about the champion.
    """

    promote: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def eligible(
    verdict: Verdict, doubt: str | None, gate: Gate, files: Mapping[str, str], evaluation_sha256: str
) -> Decision:
    """Whether the student at hand may be registered, whoever is champion.

    doubt: why the verdict is not to be believed, from judging the evaluation at hand again by the verdict's policy.
    gate: the policy as it is now, which may be another than the verdict's. files: path under ROOT -> SHA-256 of the
    very files that would be registered. evaluation_sha256: of the evaluation at hand.
    """
    reasons = [f"the gate failed: {failure}" for failure in verdict.failures()]
    if verdict.evaluation_sha256 != evaluation_sha256:
        reasons.append(f"the verdict is about another {EVALUATION}; run `dvc repro gate`")
    elif doubt:
        reasons.append(doubt)
    if changed := changed_rules(verdict.policy, gate.policy):
        listed = ", ".join(f"{gate.source}.{rule}" for rule in changed)
        reasons.append(f"the policy has changed since the verdict ({listed}); run `dvc repro gate`")
    for name, digest in files.items():
        judged = verdict.files.get(name)
        if judged is None:
            reasons.append(f"{name}: the verdict does not speak of it; run `dvc repro gate`")
        elif judged != digest:
            reasons.append(
                f"{name}: has SHA-256 {digest[:12]}…, the verdict is about {judged[:12]}…; run `dvc repro gate`"
            )
    return Decision(not reasons, tuple(reasons))


def against(gate: Gate, evaluation: Mapping[str, Any], measured: Mapping[str, Any]) -> Decision:
    """Whether the student is good enough to replace the champion.

    evaluation: the student's, of which its verdict speaks. measured: of student and champion, anew, on the same images
    (understudy/remeasure.py). A student whose evaluation does not come out again is refused, however good it is.
    """
    findings = judge_against_champion(gate, measured)
    reasons = [finding.message for finding in findings if finding.outcome == "failed"]
    unlike = not_reproduced(evaluation["models"][STUDENT_MODEL], measured["models"][STUDENT_MODEL])
    reasons += [f"its evaluation does not come out again: {said}; run `dvc repro evaluate gate`" for said in unlike]
    notes = tuple(finding.message for finding in findings if finding.outcome != "failed")
    return Decision(not reasons, tuple(reasons), notes, findings)


def not_reproduced(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Metrics of one model that were measured anew and came out otherwise, each in a sentence.

    then, now: metric -> value, and low and high where it has an interval. What only one of them has says nothing:
    other metrics may have been asked for since.
    """
    said = []
    for name in then.keys() & now.keys():
        spread = now[name].get("high", 0.0) - now[name].get("low", 0.0)
        for key, share in (("value", REPRODUCED_WITHIN), ("low", ENDS_WITHIN), ("high", ENDS_WITHIN)):
            if key not in then[name] or key not in now[name]:
                continue
            old, new = then[name][key], now[name][key]
            within = PEAK_WITHIN * new if name == PEAK else share * spread
            if not _is_close(old, new, within):
                end = "" if key == "value" else f", the {key} end of its interval,"
                said.append(f"{name}{end} was {_told(old)} and is {new:.6g}")
                break
    return sorted(said)


def evaluation_not_reproduced(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """As `not_reproduced`, of all models that were measured anew, of the differences between them, and of collapses.

    then: an evaluation. now: as `understudy.remeasure.measure` returns it, with the models under the same names.
    """
    said = []
    for name, metrics in now["models"].items():
        about = "" if name == STUDENT_MODEL else f"the {name}'s "
        said += [f"{about}{one}" for one in not_reproduced(then["models"].get(name, {}), metrics)]
    for name, metrics in now["differences"].items():
        old = then.get("differences", {}).get(name, {})
        said += [f"the difference {name} of {one}" for one in not_reproduced(old, metrics)]
    collapses = then.get("collapse", {})
    said += [f"the {name} has collapsed: {failure}" for name, failure in now["collapse"].items()
             if failure is not None and collapses.get(name) is None]  # fmt: skip
    return said


def invented(decision: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Numbers that a decision was made by and that are not the models' own, each in a sentence.

    own: metrics of the student, and of the champion where it was evaluated on the same data, as `not_reproduced` takes
    them, by the models' names; the intervals are the student's.
    """
    said = []
    for model, metrics in own.items():
        measured = decision["measured"].get("models", {}).get(model, {})
        for name in sorted(metrics.keys() & measured.keys()):
            wide = own[STUDENT_MODEL].get(name, {})
            spread = wide.get("high", 0.0) - wide.get("low", 0.0)
            old, new = measured[name]["value"], metrics[name]["value"]
            if not _is_close(old, new, REPRODUCED_WITHIN * spread):
                said.append(f"by its decision the {model}'s {name} was {_told(old)}, by its own evaluation {new:.6g}")
    return said


def _is_close(old: Any, new: float, within: float) -> bool:
    return isinstance(old, int | float) and math.isclose(old, new, rel_tol=1e-6, abs_tol=max(1e-9, within))


def _told(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else repr(value)


def shippable(verdict: Verdict, files: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which exported files may be registered beside the student: path under ROOT by format; and why others may not.

    files: path under ROOT -> SHA-256 of the exported files at hand. One that may not keeps nobody else from anything.
    """
    kept, notes = {}, []
    for name, export in verdict.exports.items():
        if not export.passed:
            notes.append(f"export {name} is not registered: {'; '.join(export.failures())}")
        elif files.get(export.file) != export.sha256:
            notes.append(f"export {name} is not registered: {export.file} is not the file that was judged; "
                         "run `dvc repro gate`")  # fmt: skip
        else:
            kept[name] = export.file
    return kept, tuple(notes)


def changed_rules(then: Policy, now: Policy) -> list[str]:
    """METRIC.RULE of every rule that is new, gone, or has another bound."""
    before, after = (
        {f"{metric}.{rule}": bound for metric, rules in policy.items() for rule, bound in rules.items()}
        for policy in (then, now)
    )
    return [rule for rule in {**before, **after} if rule not in before or before[rule] != after.get(rule)]
