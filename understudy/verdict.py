"""What the gate found: verdict.json, the one value behind exit codes, reports, tags and promotion."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from understudy.errors import DATA_FAILED, UserError
from understudy.files import read_json
from understudy.params.gate import Policy

SCHEMA = 2  # 1 did not speak of exported files
PATH = "artifacts/gate/verdict.json"  # under ROOT

Outcome = Literal["passed", "failed", "informational", "left to promotion"]


@dataclass(frozen=True)
class Finding:
    """One rule, applied to one metric.

    bound: of a rule that has a number; value: the student's; reference: of the model that it was compared with;
    interval: 95 %, of their difference (student minus reference). None where there is none. message: metric, value,
    bound, and where each came from.
    """

    metric: str
    rule: str
    outcome: Outcome
    message: str
    bound: float | None = None
    value: float | None = None
    reference: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ExportVerdict:
    """Of one exported file, by the same rules. metrics: its own values. file: its path under ROOT. sha256: of it."""

    passed: bool
    rules: tuple[Finding, ...]
    metrics: Mapping[str, float]
    file: str
    sha256: str

    def failures(self) -> list[str]:
        """What each failed rule says."""
        return _failures(self.rules)


@dataclass(frozen=True)
class Verdict:
    """policy: as judged. metrics: all of the student's values. evaluation_sha256: of the file that was judged.

    files: path under ROOT -> SHA-256 of everything that the evaluation was computed from, the student and the data
    included. data_sha256, judge_sha256: of the test split and of the judge's weights, the two of `files` that two
    evaluations must share to be comparable. exports: of the student's exported files, by format; `passed` and `rules`
    are the student's, whatever becomes of them.
    """

    passed: bool
    rules: tuple[Finding, ...]
    policy: Policy
    metrics: Mapping[str, float]
    evaluation_sha256: str
    data_sha256: str
    judge_sha256: str
    files: Mapping[str, str]
    exports: Mapping[str, ExportVerdict] = field(default_factory=dict)

    def failures(self) -> list[str]:
        """What each failed rule says."""
        return _failures(self.rules)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"schema": SCHEMA, **asdict(self)}

    def says_as(self, other: "Verdict") -> bool:
        """Whether two verdicts are the same but for the wording, which names the file that the policy came from."""
        return _bare(self) == _bare(other)


def _bare(verdict: Verdict) -> Any:
    plain = json.loads(json.dumps(verdict.plain()))
    for rules in (plain["rules"], *(export["rules"] for export in plain["exports"].values())):
        for rule in rules:
            del rule["message"]
    return plain


def _failures(rules: Iterable[Finding]) -> list[str]:
    return [finding.message for finding in rules if finding.outcome == "failed"]


def has_passed(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed and something was judged: a gate that judges nothing lets nobody through."""
    outcomes = {finding.outcome for finding in findings}
    return "passed" in outcomes and "failed" not in outcomes


def read_verdict(path: Path) -> Verdict:
    """Read verdict.json. Raises UserError with code DATA_FAILED when it is missing, damaged or contradicts itself."""
    try:
        value = read_json(path)
    except UserError as error:
        raise UserError(f"{error}; `dvc repro gate` (or `python -m stages.gate`) makes it", DATA_FAILED) from None
    try:
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, this version reads {SCHEMA}")
        fields = {name: value[name] for name in Verdict.__dataclass_fields__}
        exports = {name: ExportVerdict(**entry | {"rules": _rules(entry)}) for name, entry in value["exports"].items()}
        verdict = Verdict(**fields | {"rules": _rules(value), "exports": exports})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a verdict ({error}); run `dvc repro gate`", DATA_FAILED) from None
    return verdict


def _rules(entry: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of a verdict. Raises ValueError when one is none, or when its `passed` contradicts them."""
    rules = tuple(_finding(rule) for rule in entry["rules"])
    if unknown := {finding.outcome for finding in rules} - set(get_args(Outcome)):
        raise ValueError(f"unknown outcome {', '.join(map(str, unknown))}")
    if entry["passed"] is not has_passed(rules):
        raise ValueError(f"`passed` is {entry['passed']!r}, which its rules contradict")
    return rules


def _finding(rule: Mapping[str, Any]) -> Finding:
    interval = rule["interval"]
    return Finding(**{**rule, "interval": interval and (interval[0], interval[1])})


ORDER: tuple[Outcome, ...] = ("failed", "passed", "left to promotion", "informational")  # in which rules are told


def counts(verdict: Verdict) -> str:
    """How many rules had which outcome, in words."""
    found = {outcome: sum(finding.outcome == outcome for finding in verdict.rules) for outcome in ORDER}
    return ", ".join(f"{count} {outcome}" for outcome, count in found.items() if count)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Failed ones first, what was only looked at last."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.outcome))


def headline(verdict: Verdict) -> str:
    """The verdict in one line."""
    return f"gate: {'PASSED' if verdict.passed else 'FAILED'} ({counts(verdict)})"


def report(verdict: Verdict) -> str:
    """The verdict for a person: the headline, then each rule, failures first, with its origins on a line below.

    Of the exported files a line each, and the rules that failed.
    """
    lines = [headline(verdict), *_told(ordered(verdict.rules))]
    for name, export in verdict.exports.items():
        lines.append(f"export {name}: {'PASSED' if export.passed else 'FAILED'} ({export.file})")
        lines += _told(finding for finding in export.rules if finding.outcome == "failed")
    return "\n".join(lines) + "\n"


def _told(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        said, bracket, origins = finding.message.partition(" [")
        yield f"  {finding.outcome:17}  {said}"
        if bracket:
            yield f"{'':21}[{origins}"
