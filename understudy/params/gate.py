"""The `gate:` section: a policy, the bounds that a student must keep, by metric and rule."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from understudy.errors import UserError
from understudy.metrics.protocol import METRICS

INFORMATIONAL: Final = "informational"
RULES = ("min", "max", "max_worse_than_teacher", "max_worse_than_baseline", "max_worse_than_champion", INFORMATIONAL)

Policy = Mapping[str, Mapping[str, float | bool]]


@dataclass(frozen=True)
class Gate:
    """policy: METRIC -> {RULE: bound}, or METRIC -> {informational: true}, which is shown and never judged.

    `max_worse_than_X: b` allows the student to be worse than X by at most b, in the metric's own unit; a negative b
    asks it to be better by at least |b|. What is worse belongs to the metric, not to the policy. source: file and key
    of the section, for messages.
    """

    policy: Policy
    source: str

    @classmethod
    def parse(cls, value: Any, where: str) -> "Gate":
        """From plain YAML values. Raises UserError naming the key for an unknown metric or rule, or a bad bound."""
        policy = {}
        for metric, rules in _mapping(value, where, "metric").items():
            if metric not in METRICS:
                raise UserError(f"{where}: unknown metric {metric}; known metrics: {', '.join(METRICS)}")
            policy[metric] = dict(_mapping(rules, f"{where}.{metric}", "rule"))
            for rule, bound in policy[metric].items():
                _check(rule, bound, f"{where}.{metric}")
            if INFORMATIONAL in policy[metric] and len(policy[metric]) > 1:
                raise UserError(f"{where}.{metric}: informational is never judged; remove it or the bounds beside it")
        return cls(policy, where)


def _mapping(value: Any, where: str, of: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping) or not value:
        found = f"{value!r}" if value else "nothing"
        raise UserError(f"{where}: expected a mapping with at least one {of}, found {found}")
    return value


def _check(rule: Any, bound: Any, where: str) -> None:
    if rule not in RULES:
        raise UserError(f"{where}: unknown rule {rule}; known rules: {', '.join(RULES)}")
    if rule == INFORMATIONAL:
        if bound is not True:
            raise UserError(f"{where}.{rule}: expected true, found {bound!r}")
    # A bound that is not a number would let everything pass or nothing.
    elif isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
        raise UserError(f"{where}.{rule}: expected a finite number, found {bound!r}")
