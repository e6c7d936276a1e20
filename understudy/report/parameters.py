"""The parameters that a run was made with. params.yaml may have been edited since; what DVC locked has not."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from understudy.errors import UserError
from understudy.graph import STAGES
from understudy.params.leaves import Change, differences, leaves
from understudy.report.gather import Run

LOCK, PARAMS = "dvc.lock", "params.yaml"
NAMED = 5  # changes in a sentence; of more it says how many


@dataclass(frozen=True)
class Parameters:
    """values: by dotted name. source: the file they are from. notes: how far they may be taken as the run's."""

    values: Mapping[str, Any]
    source: str
    notes: Sequence[str] = ()

    def sections(self) -> dict[str, dict[str, str]]:
        """For a person: section -> the rest of the name -> text."""
        found: dict[str, dict[str, str]] = {}
        for name, value in self.values.items():
            section, _, key = name.partition(".")
            found.setdefault(section, {})[key] = shown(value)
        return found


class _Loader(yaml.SafeLoader):
    """Reads 1e-05 as the number that DVC, which writes YAML 1.2, means by it."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def parameters(run: Run) -> Parameters:
    """Those of dvc.lock, or of params.yaml where nothing was locked. Raises UserError when neither can be read."""
    locked = _locked(run)
    if not locked:
        reason = "no dvc.lock says what the run was made with"
        return Parameters(leaves(read_yaml(run, PARAMS)), PARAMS, [f"These are those of params.yaml now: {reason}."])
    sections: dict[str, Any] = {}
    for found in locked.values():
        sections.update(found)
    return Parameters(leaves(sections), LOCK, [*_mixed(locked), *_edited(run, sections)])


def _locked(run: Run) -> dict[str, Mapping[str, Any]]:
    """Stage -> section -> values, in the order of the graph; empty without a lock."""
    if not (run.root / LOCK).exists():
        return {}
    stages = read_yaml(run, LOCK).get("stages")
    if not isinstance(stages, Mapping) or not all(isinstance(entry, Mapping) for entry in stages.values()):
        raise UserError(f"{LOCK} is not what DVC writes")
    found = {name: entry.get("params", {}).get(PARAMS, {}) for name, entry in stages.items()}
    order = [*STAGES, *found]
    return {name: found[name] for name in sorted(found, key=order.index) if found[name]}


def _mixed(locked: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A section that stages were run with different values of; the later stage's is shown."""
    by_name: dict[str, dict[str, Any]] = {}
    for stage, sections in locked.items():
        for key, value in leaves(sections).items():
            by_name.setdefault(key, {})[stage] = value
    for key, values in by_name.items():
        if any(value != next(iter(values.values())) for value in values.values()):
            said = ", ".join(f"{value} for {stage}" for stage, value in values.items())
            yield f"The stages were not all run with the same `{key}`: {said}."


def _edited(run: Run, sections: Mapping[str, Any]) -> Iterator[str]:
    """How params.yaml differs now in what the stages read of it."""
    try:
        now = leaves(read_yaml(run, PARAMS))
    except UserError as error:
        yield f"{error}."
        return
    read = {key: value for key, value in now.items() if any(f"{key}.".startswith(f"{name}.") for name in sections)}
    if changes := differences(sections, read):
        more = f"; and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        named = "; ".join(map(_changed, changes[:NAMED]))
        yield f"params.yaml is no longer what this run was made with: {named}{more}."


def _changed(change: Change) -> str:
    return f"`{change.key}` is {shown(change.after)} there and was {shown(change.before)}"


def shown(value: object) -> str:
    """A value for a person; `-` where there is none."""
    return "-" if value is None else str(value)


def read_yaml(run: Run, name: str) -> Mapping[str, Any]:
    """A YAML mapping as it is, not checked: an older run's may have other keys."""
    try:
        found = yaml.load(run.path(name).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{name} cannot be read as YAML: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{name} is not a mapping")
    return found
