"""Nested parameters by dotted name, and which of them two files do not share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """A value that two sets of parameters do not share. key: `teacher.ngf`. None: one has no such key."""

    key: str
    before: Any
    after: Any


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted name, in order. An empty mapping is a value: its name must not vanish."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found.update(leaves(value, f"{name}."))
        else:
            found[name] = value
    return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The keys whose values differ, in the order of `after`, then those that only `before` has."""
    old, new = leaves(before), leaves(after)
    keys = dict.fromkeys((*new, *old))
    return [Change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]
