"""What may become champion, and why. Pure: the registry calls are in understudy/adapters/registry.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from understudy.gate import EVALUATION, allowance, compared, within, worse_by
from understudy.metrics import protocol
from understudy.params.gate import CHAMPION, Gate, Policy
from understudy.verdict import Verdict


@dataclass(frozen=True)
class Champion:
    """The student in production.

    metrics: its values when it was promoted. data_sha256, judge_sha256: of the test split and of the judge that gave
    them.
    """

    version: str
    metrics: Mapping[str, float]
    data_sha256: str
    judge_sha256: str


@dataclass(frozen=True)
class Decision:
    """promote: whether the student may become champion. reasons: against it. notes: what else there is to know."""

    promote: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def decide(
    verdict: Verdict, gate: Gate, files: Mapping[str, str], evaluation_sha256: str, champion: Champion | None
) -> Decision:
    """Whether the student at hand may be promoted.

    gate: the policy as it is now, which may be another than the verdict's. files: path under ROOT -> SHA-256 of the
    very files that would be registered. evaluation_sha256: of the evaluation at hand. champion: None when there has
    been none, which skips the champion's bounds and says so.
    """
    reasons = [f"the gate failed: {failure}" for failure in verdict.failures()]
    if verdict.evaluation_sha256 != evaluation_sha256:
        reasons.append(f"the verdict is about another {EVALUATION}; run `dvc repro gate`")
    if changed := _changed(verdict.policy, gate.policy):
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
    bounds = {metric: rules[CHAMPION] for metric, rules in verdict.policy.items() if CHAMPION in rules}
    if champion is None:
        notes = ("there is no champion yet: the bounds against it do not apply to a first student",) if bounds else ()
        return Decision(not reasons, tuple(reasons), notes)
    if bounds and (unlike := _unlike(champion, verdict)):
        reasons.append(
            f"the champion, version {champion.version}, was measured {unlike}, so they cannot be compared: "
            f"take {CHAMPION} out of the policy for this promotion, or register under another name (registry.model)"
        )
        return Decision(False, tuple(reasons), ())
    notes_found: list[str] = []
    for metric, bound in bounds.items():
        said, kept = _against(champion, metric, bound, verdict)
        (notes_found if kept else reasons).append(said)
    return Decision(not reasons, tuple(reasons), tuple(notes_found))


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


def _changed(then: Policy, now: Policy) -> list[str]:
    """METRIC.RULE of every rule that is new, gone, or has another bound."""
    before, after = (
        {f"{metric}.{rule}": bound for metric, rules in policy.items() for rule, bound in rules.items()}
        for policy in (then, now)
    )
    return [rule for rule in {**before, **after} if rule not in before or before[rule] != after.get(rule)]


def _unlike(champion: Champion, verdict: Verdict) -> str:
    """How the champion's values were measured otherwise than the student's; empty when they compare."""
    pairs = {
        "on another test split": (champion.data_sha256, verdict.data_sha256),
        "by another judge": (champion.judge_sha256, verdict.judge_sha256),
    }
    found = [f"{what} ({then[:12]}…, this one is {now[:12]}…)" for what, (then, now) in pairs.items() if then != now]
    return " and ".join(found)


def _against(champion: Champion, metric: str, bound: float, verdict: Verdict) -> tuple[str, bool]:
    """One bound against the champion: what there is to say, and whether it is kept (not when a number is missing)."""
    origin = f"[bound: {CHAMPION} in the verdict's policy; reference: the tags of version {champion.version}]"
    if metric not in champion.metrics:
        return f"{metric}: the champion has no value {origin}", False
    if metric not in verdict.metrics:
        return f"{metric}: the student has no value {origin}", False
    value, reference = verdict.metrics[metric], champion.metrics[metric]
    worse = worse_by(protocol.metric(metric), value, reference)
    said = (
        f"{metric}: {value:.6g} is {compared(worse)} than the champion's {reference:.6g}; {allowance(bound)} {origin}"
    )
    return said, within(worse, bound)
