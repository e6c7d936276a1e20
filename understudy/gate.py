"""Policy + evaluation -> verdict. Pure: reads no clock, no network, no registry, and imports no torch.

What cannot be judged fails: a metric or a baseline that is missing, a value that is no number, too few samples. Here a
student is compared with its teacher and with the undistilled baseline; with the champion on promotion, by
`judge_against_champion`, since the registry changes while a verdict, once written, does not. The student's exported
files are judged by the same rules, each in its place, and none of them changes what is said of the student.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy.data.terms import KINDS
from understudy.errors import DATA_FAILED, UserError
from understudy.export.record import FILES, RECORD
from understudy.files import read_json, sha256
from understudy.metrics import protocol
from understudy.metrics.protocol import L1_TO_TEACHER, MEASURED, Metric, by_inception, by_segmentation
from understudy.params.gate import AWAITING, CHAMPION, CLEAR, CLEARLY_BETTER, EVALUATED, INFORMATIONAL, OTHERS, Gate
from understudy.verdict import ExportVerdict, Finding, Outcome, Verdict, has_passed

SCHEMA = 2  # of evaluation.json; 1 did not tell the kind of the data
EVALUATION = "artifacts/evaluate/evaluation.json"  # under ROOT
STUDENT_MODEL = "student"  # its name in evaluation.json
STUDENT = ("artifacts/distill/arch.json", "artifacts/distill/weights.safetensors")
DATASET = "artifacts/prepare/dataset.json"
TEST_SPLIT = "artifacts/prepare/test.zip"
JUDGE = "artifacts/judge/weights.safetensors"
DIMS = "feature_dims"  # in evaluation.json: how many features the judge gives, on which the least sample depends


class Unusable(Exception):
    """A number that cannot be judged, and why."""


def judge(
    gate: Gate, evaluation: Mapping[str, Any], evaluation_sha256: str, exports: Mapping[str, Any] | None = None
) -> Verdict:
    """Apply every rule of the policy to the student, and to each of its exported files.

    evaluation: as read_evaluation returns it. evaluation_sha256: of its file. exports: as read_record returns them.
    Raises UserError when the policy names a metric that data of this kind do not have.
    """
    gate.require_fits(evaluation["kind"])
    findings = _findings(gate, evaluation, STUDENT_MODEL)
    return Verdict(
        passed=has_passed(findings),
        rules=tuple(findings),
        policy=gate.policy,
        metrics=_numbers(evaluation["models"].get(STUDENT_MODEL, {})),
        evaluation_sha256=evaluation_sha256,
        data_sha256=evaluation["files"][TEST_SPLIT],
        judge_sha256=evaluation["files"][JUDGE],
        files=evaluation["files"],
        exports=_judge_exports(gate, evaluation, exports) if exports else {},
    )


def judge_against_champion(gate: Gate, measured: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Apply the policy's rules about the champion. Empty when it has none.

    measured: `models`, `differences` and `collapse` of an evaluation, of the student and the champion, measured anew on
    the same images; `told` says so.
    """
    rules = {
        metric: {rule: bound for rule, bound in rules.items() if rule in AWAITING}
        for metric, rules in gate.policy.items()
        if not rules.keys().isdisjoint(AWAITING)
    }
    return tuple(_findings(Gate(rules, gate.source), measured, STUDENT_MODEL)) if rules else ()


def _judge_exports(
    gate: Gate, evaluation: Mapping[str, Any], exports: Mapping[str, Any]
) -> Mapping[str, ExportVerdict]:
    """Each exported file's own verdict, by format. The champion's bounds are the student's alone: it is one of them."""
    without_champion = {
        metric: {rule: bound for rule, bound in rules.items() if rule not in AWAITING}
        for metric, rules in gate.policy.items()
    }
    asked = Gate(without_champion, gate.source)
    found = {}
    for name, metrics in exports["models"].items():
        seen = {key: {**evaluation.get(key, {}), **exports.get(key, {})} for key in ("models", "differences")}
        compared_with = {model: evaluation.get("collapse", {}).get(model) for model in EVALUATED}
        own = {name: exports["collapse"][name]} if name in exports["collapse"] else {}
        findings = _findings(asked, {**evaluation, **seen, "collapse": {**compared_with, **own}}, name)
        found[name] = ExportVerdict(
            passed=has_passed(findings),
            rules=tuple(findings),
            metrics=_numbers(metrics),
            file=FILES[name],
            sha256=exports["files"][FILES[name]],
        )
    return found


def _findings(gate: Gate, evaluation: Mapping[str, Any], subject: str) -> list[Finding]:
    """What every rule of the policy says of one model. subject: its name in the evaluation."""
    findings = _collapses(gate, evaluation, subject)
    for metric, rules in gate.policy.items():
        for rule, bound in rules.items():
            source = f"{gate.source}.{metric}.{rule}"
            try:
                findings.append(_apply(protocol.metric(metric), rule, bound, evaluation, subject, source))
            except Unusable as error:
                message = f"{metric}: {error} (asked for by {source})"
                findings.append(Finding(metric, rule, "failed", message, None if bound is True else bound))
    return findings


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: entry["value"] for name, entry in metrics.items() if _is_number(entry.get("value"))}


def _apply(
    metric: Metric, rule: str, bound: float, evaluation: Mapping[str, Any], subject: str, source: str
) -> Finding:
    """The finding of one rule. Raises Unusable when a number that it needs cannot be used."""
    if rule == INFORMATIONAL:
        return _inform(metric, evaluation, subject)
    value = _value(metric, subject, evaluation)
    stated = f"{metric.name}: {value:.6g}"
    origins = f"[value: {_key(subject, metric.name, evaluation)}; bound: {source}]"
    if rule in AWAITING and CHAMPION not in evaluation["models"]:
        limit = f"is compared with the champion's on promotion; {_asked(rule, bound)}"
        stored = None if bound is True else bound
        return Finding(metric.name, rule, "left to promotion", f"{stated} {limit} {origins}", stored, value)
    if rule in ("min", "max"):
        passed = value >= bound if rule == "min" else value <= bound
        relation = {("min", True): "reaches", ("min", False): "is below",
                    ("max", True): "is within", ("max", False): "is above"}[rule, passed]  # fmt: skip
        message = f"{stated} {relation} the {'least' if rule == 'min' else 'most'} allowed, {bound:.6g} {origins}"
        return Finding(metric.name, rule, _outcome(passed), message, bound, value)
    other = rule.rpartition("_")[2]
    reference = _value(metric, other, evaluation)
    interval = _interval(metric.name, subject, other, evaluation)
    worse = worse_by(metric, value, reference)
    passed = _clear(metric, rule, subject, other, interval, evaluation) if rule in CLEAR else within(worse, bound)
    sources = (_key(model, metric.name, evaluation) for model in (subject, other))
    origins = "[value: {}; reference: {}; bound: {}]".format(*sources, source)
    spread = f", difference {interval[0]:.4g} to {interval[1]:.4g} at 95 %" if interval else ""
    compared_with = f"{compared(worse)} than the {other}'s {reference:.6g}{spread}"
    message = f"{stated} is {compared_with}; {_asked(rule, bound)} {origins}"
    stored = None if bound is True else bound
    return Finding(metric.name, rule, _outcome(passed), message, stored, value, reference, interval)


def _asked(rule: str, bound: float) -> str:
    """What a rule of a comparison asks for."""
    if rule not in CLEAR:
        return allowance(bound)
    if rule.startswith(CLEARLY_BETTER):
        return "all of the difference's interval must be better"
    return "the difference's interval must not be worse as a whole"


def _clear(
    metric: Metric,
    rule: str,
    subject: str,
    other: str,
    interval: tuple[float, float] | None,
    evaluation: Mapping[str, Any],
) -> bool:
    """Whether a rule on the interval of the difference is kept. Zero is no difference."""
    if interval is None:
        key = f"{_told(subject, evaluation)}: differences.{subject}_minus_{other}.{metric.name}"
        raise Unusable(f"the 95 % interval of its difference to the {other} is missing or no interval ({key})")
    least_worse, most_worse = sorted(worse_by(metric, end, 0) for end in interval)
    return most_worse < 0 if rule.startswith(CLEARLY_BETTER) else least_worse <= 0


def _outcome(passed: bool) -> Outcome:
    return "passed" if passed else "failed"


def worse_by(metric: Metric, value: float, reference: float) -> float:
    """By how much `value` is worse than `reference`, in the metric's unit; negative when it is better."""
    return value - reference if metric.better == "lower" else reference - value


def within(worse: float, bound: float) -> bool:
    """Whether a difference keeps its bound. 0.40 - 0.38 is 0.020000000000000018, and meant to keep a bound of 0.02."""
    return worse <= bound or math.isclose(worse, bound, rel_tol=1e-9, abs_tol=1e-12)


def compared(worse: float) -> str:
    """`worse_by` in words."""
    if worse == 0:
        return "no worse"
    return f"{abs(worse):.6g} {'worse' if worse > 0 else 'better'}"


def allowance(bound: float) -> str:
    """A bound of `max_worse_than_...` in words."""
    return f"at most {bound:.6g} worse is allowed" if bound >= 0 else f"at least {-bound:.6g} better is asked for"


def _inform(metric: Metric, evaluation: Mapping[str, Any], subject: str) -> Finding:
    """A metric that is shown and never judged, not even for being unusable."""
    try:
        value = _value(metric, subject, evaluation)
    except Unusable as error:
        return Finding(metric.name, INFORMATIONAL, INFORMATIONAL, f"{metric.name}: {error}")
    message = f"{metric.name}: {value:.6g} [value: {_key(subject, metric.name, evaluation)}]"
    return Finding(metric.name, INFORMATIONAL, INFORMATIONAL, message, value=value)


def _value(metric: Metric, model: str, evaluation: Mapping[str, Any]) -> float:
    """A model's value of a metric. Raises Unusable, naming the key, when there is none that means something."""
    key = _key(model, metric.name, evaluation)
    entry = evaluation["models"].get(model, {}).get(metric.name)
    if entry is None:
        raise Unusable(f"the {model}'s value is missing: no {key}{_why_missing(metric, model)}")
    value = entry.get("value")
    if not _is_number(value):
        raise Unusable(f"the {model}'s value is {value!r}, not a finite number ({key})")
    smallest = -math.inf if metric.smallest is None else metric.smallest
    largest = math.inf if metric.largest is None else metric.largest
    # Rounding may leave the square of a distance a hair below zero.
    if not smallest - 1e-9 <= value <= largest + 1e-9:
        raise Unusable(f"the {model}'s value {value!r} is impossible, the metric is in [{smallest}, {largest}] ({key})")
    if metric not in MEASURED:
        _check_samples(metric, entry.get("n"), model, evaluation)
    return value


def _why_missing(metric: Metric, model: str) -> str:
    if by_inception(metric.name):
        return "; evaluate.inception in the parameters says which weights, resizes and references are scored"
    if by_segmentation(metric.name):
        return (
            "; evaluate.segmentation in the parameters says by which network, and `python -m stages.evaluate "
            "--dry-run` what its metrics are called"
        )
    if model in FILES:
        return "; docs/export.md tells what exported files are measured by"
    return "" if metric in MEASURED else "; evaluate leaves a metric out when the test split is too small for it"


def _check_samples(metric: Metric, count: Any, model: str, evaluation: Mapping[str, Any]) -> None:
    key = _key(model, metric.name, evaluation)
    dims = evaluation.get(DIMS)
    if metric.images_per_dim and (not isinstance(dims, int) or dims < 1):
        raise Unusable(f"how many samples it needs is unknown: no {EVALUATION}: {DIMS}")
    needed = metric.minimum(dims or 0)
    if not isinstance(count, int) or count < needed:
        raise Unusable(f"the {model}'s value is of {count} samples, {needed} are needed ({key}.n)")


def _interval(metric: str, subject: str, other: str, evaluation: Mapping[str, Any]) -> tuple[float, float] | None:
    entry = evaluation.get("differences", {}).get(f"{subject}_minus_{other}", {}).get(metric, {})
    low, high = entry.get("low"), entry.get("high")
    return (low, high) if _is_number(low) and _is_number(high) and low <= high else None


def _collapses(gate: Gate, evaluation: Mapping[str, Any], subject: str) -> list[Finding]:
    """A finding for each collapsed model, since neither its metrics nor a comparison with it mean what they say.

    A failure if it is the subject or a rule compares the subject with it; otherwise it is shown.
    """
    findings = []
    compared_with = _compared_with(gate)
    collapse = evaluation.get("collapse", {})
    if subject not in collapse:
        message = f"collapse: the {subject} was not checked: no {_told(subject, evaluation)}: collapse.{subject}"
        findings.append(Finding("collapse", "none", "failed", message))
    for model, failure in collapse.items():
        if failure is not None:
            message = f"collapse: the {model} has collapsed: {failure} [{_told(model, evaluation)}: collapse.{model}]"
            outcome: Outcome = "failed" if model in (subject, *compared_with) else INFORMATIONAL
            findings.append(Finding("collapse", "none", outcome, message))
    return findings


def _compared_with(gate: Gate) -> set[str]:
    """The other models that the policy judges the student by, in a rule or in the metric itself."""
    rules = [(metric, rule) for metric, rules in gate.policy.items() for rule in rules if rule != INFORMATIONAL]
    found = {other for _, rule in rules for other in OTHERS if rule.endswith(f"_{other}")}
    return found | ({"teacher"} if any(metric == L1_TO_TEACHER for metric, _ in rules) else set())


def _key(model: str, metric: str, evaluation: Mapping[str, Any]) -> str:
    return f"{_told(model, evaluation)}: models.{model}.{metric}"


def _told(model: str, evaluation: Mapping[str, Any]) -> str:
    """Where it is told of a model."""
    return evaluation.get("told") or (RECORD if model in FILES else EVALUATION)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_evaluation(root: Path) -> tuple[dict[str, Any], str]:
    """evaluation.json and its SHA-256. Raises UserError with code DATA_FAILED unless it speaks of the files in `root`.

    The student and the data must be there, byte for byte as they were evaluated, and whatever else the evaluation was
    computed from must be the same where it is there (DVC pulls only what a stage reads): an old evaluation says nothing
    of a new student.
    """
    path = root / EVALUATION
    try:
        evaluation = read_json(path)
        digest = sha256(path)
    except UserError as error:
        raise UserError(f"{error}; `dvc repro evaluate` makes it", DATA_FAILED) from None
    if not isinstance(evaluation, dict) or evaluation.get("schema") != SCHEMA:
        raise UserError(f"{path}: not an evaluation of schema {SCHEMA}; run `dvc repro evaluate`", DATA_FAILED)
    if evaluation.get("kind") not in KINDS:
        raise UserError(f"{path}: no kind of data ({', '.join(KINDS)}); run `dvc repro evaluate`", DATA_FAILED)
    files = evaluation.get("files")
    if not isinstance(files, dict) or not isinstance(evaluation.get("models"), dict):
        raise UserError(f"{path}: `models` or `files` is missing; run `dvc repro evaluate`", DATA_FAILED)
    needed = (*STUDENT, DATASET, TEST_SPLIT)
    wrong = [f"{name}: not recorded" for name in (*needed, JUDGE) if name not in files]
    for name, recorded in files.items():
        if (name in needed or (root / name).exists()) and (problem := _mismatch(root / name, recorded)):
            wrong.append(f"{name}: {problem}")
    if wrong:
        listed = "\n  ".join(wrong)
        message = f"{path}: does not speak of the files at hand; run `dvc repro evaluate`\n  {listed}"
        raise UserError(message, DATA_FAILED)
    return evaluation, digest


def _mismatch(path: Path, recorded: str) -> str | None:
    """What is wrong with a file that should have the SHA-256 `recorded`, or None."""
    if not path.is_file():
        return "missing"
    found = sha256(path)
    return None if found == recorded else f"has SHA-256 {found[:12]}…, was evaluated with {str(recorded)[:12]}…"
