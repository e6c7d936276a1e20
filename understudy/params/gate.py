"""The `gate:` section: a policy, the bounds that a student must keep, by metric and rule."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from understudy.data.terms import Kind
from understudy.errors import UserError
from understudy.metrics.protocol import JUDGED, JUDGES, MEASURED, METRICS, find, fits

INFORMATIONAL: Final = "informational"
WORSE_THAN, CLEARLY_BETTER, NOT_CLEARLY_WORSE = "max_worse_than_", "clearly_better_than_", "not_clearly_worse_than_"
CHAMPION: Final = "champion"
EVALUATED = ("teacher", "baseline")  # with whom the gate compares the student, on the same images
OTHERS = (*EVALUATED, CHAMPION)
CLEAR = tuple(f"{rule}{other}" for rule in (CLEARLY_BETTER, NOT_CLEARLY_WORSE) for other in OTHERS)
RULES = ("min", "max", *(f"{WORSE_THAN}{other}" for other in OTHERS), *CLEAR, INFORMATIONAL)
AWAITING = tuple(rule for rule in RULES if rule.endswith(f"_{CHAMPION}"))  # the promotion, which knows the champion

Policy = Mapping[str, Mapping[str, float | bool]]


@dataclass(frozen=True)
class Gate:
    """policy: METRIC -> {RULE: bound}. What is better belongs to the metric, not to the policy. The rules:

    `min: b`, `max: b`: the student's value is at least, at most b.
    `max_worse_than_X: b`: the student is worse than X (teacher, baseline, champion) by at most b, in the metric's own
        unit; a negative b asks it to be better by at least |b|. The value decides, whatever its interval.
    `clearly_better_than_X: true`: the whole 95 % interval of the difference to X is better.
    `not_clearly_worse_than_X: true`: that interval is not worse as a whole. The fewer the images, the wider it is and
        the more it lets pass; put a `max_worse_than_X` beside it.
    `informational: true`, alone: the metric is shown and never judged.

    At least one rule must be one that the gate itself can fail by: neither informational nor one of the champion's,
    which wait for the promotion. source: file and key of the section, for messages.
    """

    policy: Policy
    source: str

    @classmethod
    def parse(cls, value: Any, where: str) -> "Gate":
        """From plain YAML values. Raises UserError naming the key for an unknown metric or rule, or a bad bound."""
        policy: dict[str, dict[str, float | bool]] = {}
        for metric, rules in _mapping(value, where, "metric").items():
            if find(str(metric)) is None:
                raise UserError(
                    f"{where}: unknown metric {metric}; known metrics: {', '.join(METRICS)}, and those by Inception "
                    "or an ONNX file in docs/metrics.md"
                )
            policy[metric] = dict(_mapping(rules, f"{where}.{metric}", "rule"))
            for rule, bound in policy[metric].items():
                _check(metric, rule, bound, f"{where}.{metric}")
            if INFORMATIONAL in policy[metric] and len(policy[metric]) > 1:
                raise UserError(f"{where}.{metric}: informational is never judged; remove it or the bounds beside it")
        if not {rule for rules in policy.values() for rule in rules} - {INFORMATIONAL, *AWAITING}:
            raise UserError(
                f"{where}: no rule that a student can fail here ({INFORMATIONAL} never fails, the {CHAMPION}'s are "
                "left to promotion); add one of "
                f"{', '.join(rule for rule in RULES if rule not in (INFORMATIONAL, *AWAITING))}"
            )
        return cls(policy, where)

    def require_fits(self, kind: Kind) -> None:
        """Raise UserError naming the metrics that data of this kind (`prepare.kind`) do not have."""
        if wrong := [metric for metric in self.policy if not fits(metric, kind)]:
            known = ", ".join(metric.name for metric in JUDGED[kind])
            raise UserError(
                f"{self.source}: {', '.join(wrong)} cannot be had of data of kind {kind}, whose judge is the "
                f"{JUDGES[kind]}; it has {known}, and what every kind has (docs/metrics.md)"
            )


def _mapping(value: Any, where: str, of: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping) or not value:
        found = f"{value!r}" if value else "nothing"
        raise UserError(f"{where}: expected a mapping with at least one {of}, found {found}")
    return value


def _check(metric: str, rule: Any, bound: Any, where: str) -> None:
    if rule not in RULES:
        raise UserError(f"{where}: unknown rule {rule}; known rules: {', '.join(RULES)}")
    if rule in (INFORMATIONAL, *CLEAR):
        if bound is not True:
            raise UserError(f"{where}.{rule}: expected true, found {bound!r}")
        if rule in CLEAR and find(metric) in MEASURED:
            raise UserError(f"{where}.{rule}: {metric} is counted, not estimated, and has no interval; bound its value")
    # A bound that is not a number would let everything pass or nothing.
    elif isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
        raise UserError(f"{where}.{rule}: expected a finite number, found {bound!r}")
