"""What a result depends on, as a few digits: a result is valid as long as its recipe gives the same ones."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from understudy.params.active import load_all
from understudy.params.loader import read
from understudy.params.runtime import Runtime

READ = (  # by what is measured
    "runtime", "prepare", "judge", "objective", "teacher", "prune", "student", "distill", "evaluate",
)  # fmt: skip
PRECISIONS = ("bf16", "fp32")  # one of which runtime.precision: auto is, by the machine
# Sub-sections that belong to one family each; only that of the section's own `family` is looked at.
FAMILIES = {"objective": ("cyclegan", "gaugan"), "teacher": ("inception", "resnet", "unet", "spade", "custom")}


def settings(recipe: Path, precision: str, sections: Sequence[str] = READ) -> str:
    """The digits of a recipe as it stands: `digits` of its values."""
    return digits(read(recipe), precision, sections)


def digits(values: Mapping[str, Any], precision: str, sections: Sequence[str] = READ) -> str:
    """12 hexadecimal digits that stand for everything in a recipe that its results depend on: not the gate's bounds.

    values: of a whole parameter file. precision: what `runtime.precision: auto` means; a recipe that names one has
    that. Results in either are results of a recipe with `auto`; their digits are those of the same recipe with the
    precision that they were made in.

    What is null is off, as if it were not there, and so are instances that are not looked at and what another family
    uses: a new parameter that a recipe does not use leaves its results valid.
    """
    kept = _given({key: value for key, value in values.items() if key in sections})
    if kept.get("runtime", {}).get("precision") == "auto":
        kept["runtime"]["precision"] = precision
    for section, families in FAMILIES.items():
        for family in families:
            if kept.get(section, {}).get("family", family) != family:
                kept[section].pop(family, None)
    if not kept.get("prepare", {}).get("instances"):
        kept.get("prepare", {}).pop("instances", None)
    if kept.get("objective", {}).get("family") != "cyclegan":
        kept.get("distill", {}).pop("cyclegan", None)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def computed_in(recipe: Path) -> str:
    """The precision that this machine's networks compute in, by the recipe."""
    from understudy.runtime import device, precision  # torch, which a table does without

    runtime = load_all(recipe)[Runtime]
    return precision(runtime, device(runtime))


def _given(value: Any) -> Any:
    """`value` less every entry of a mapping that is null, copied."""
    if not isinstance(value, Mapping):
        return value
    return {key: _given(entry) for key, entry in value.items() if entry is not None}
