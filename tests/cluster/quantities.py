"""Amounts of cpu, memory and GPUs, and what pods ask for."""

import re
from collections import Counter
from decimal import Decimal
from typing import Any

_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000**power) for power, unit in enumerate("kMGT", 1)}
_UNITS |= {f"{unit}i": Decimal(1024**power) for power, unit in enumerate("KMGT", 1)}


def amount(text: Any) -> Decimal:
    """ "500m" -> 0.5, "2Gi" -> 2147483648. ValueError: it is no quantity."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|[kMGT]|[KMGT]i)?", str(text))
    if found is None:
        raise ValueError(f"quantities must match a number and a unit, not {text!r}")
    return Decimal(found[1]) * _UNITS[found[2] or ""]


def plain(value: Decimal) -> str:
    """The shortest exact way to write it: 0.5 -> "500m"."""
    return str(int(value)) if value == int(value) else f"{int(value * 1000)}m"


def asks(pod: dict[str, Any], which: str = "requests") -> Counter[str]:
    """What a pod asks for: the sum of its containers, or its largest initial container. A limit is also a request."""
    spec = pod["spec"]
    total: Counter[str] = Counter()
    for container in spec["containers"]:
        total.update(_of(container, which))
    for container in spec.get("initContainers", []):
        total |= Counter(_of(container, which))
    return total


def _of(container: dict[str, Any], which: str) -> dict[str, Any]:
    resources = container.get("resources", {})
    said = resources.get(which) or {}
    if which == "requests":
        said = (resources.get("limits") or {}) | said
    return {name: amount(value) for name, value in said.items()}
