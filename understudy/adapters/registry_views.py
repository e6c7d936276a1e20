"""The registry for a person: all versions in a table, one version in full, and what tells two of them apart."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.mlflow import Store
from understudy.adapters.registry import CHAMPION, METRIC_TAG, aliases, fetch, registry, version_of, versions
from understudy.arch import families as architecture
from understudy.arch.diff import diff as arch_diff
from understudy.errors import UserError
from understudy.gate import compared, worse_by
from understudy.metrics import protocol
from understudy.params.registry import Registry
from understudy.promotion import changed_rules

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

LINEAGE = ("git_commit", "git_dirty", "code_commit", "code_dirty", "dvc_lock_sha256", "data_sha256", "judge_sha256",
           "weights_sha256")  # fmt: skip
SHORT = 12  # characters of a hash in a table
SHORTEST = 7  # characters by which a commit may be named


def listing(root: Path, asked: Registry) -> str:
    """A row for each version: what it is called, what was decided, by whom and when, its commit, and its metrics."""
    with registry(root) as store:
        found = versions(store, asked.model)
        if not found:
            return f"{asked.model}: nothing is registered\n"
        named = aliases(store, asked.model)
        judged = _judged(found)
        head = ("version", "alias", "status", "decided", "by", "commit", *judged)
        rows = [
            (
                str(one.version),
                _names(named, str(one.version)),
                one.tags.get("status", "undecided"),
                one.tags.get("decided_at", ""),
                one.tags.get("decided_by", ""),
                one.tags.get("git_commit", "")[:SHORT],
                *(_number(one.tags, metric) for metric in judged),
            )
            for one in reversed(found)
        ]
        return _table([head, *rows]) + "".join(f"{said}\n" for said in _displaced(store, asked.model, named))


def _displaced(store: Store, model: str, named: Mapping[str, str]) -> list[str]:
    """What is wrong with the champion's alias, or why nobody can say. named: as `aliases` returns it."""
    try:
        said = LedgerStore.open(store, model).read().displaced(named.get(CHAMPION))
    except UserError as error:
        return [str(error)]
    return [said] if said else []


def showing(root: Path, asked: Registry, which: str) -> str:
    """Everything that is known of a version: tags, the decision with its reasons, and its entries in the ledger."""
    with registry(root) as store:
        one = find(store, asked.model, which)
        number, tags = str(one.version), one.tags
        names = _names(aliases(store, asked.model), number)
        lines = [f"{asked.model} version {number} ({names or 'no alias'})", ""]
        lines += [f"{name}: {tags[name]}" for name in ("status", "decided_at", "decided_by", "replaced", "exports",
                                                       *LINEAGE, "manifest_sha256") if name in tags]  # fmt: skip
        decision = json.loads(tags.get("decision", "{}"))
        lines += [f"reason: {reason}" for reason in decision.get("reasons", ())]
        lines += [f"note: {note}" for note in decision.get("notes", ())]
        metrics = sorted(name.removeprefix(METRIC_TAG) for name in tags if name.startswith(METRIC_TAG))
        lines += ["", *(f"{name}: {_number(tags, name)}" for name in metrics)]
        entries = [entry for entry in LedgerStore.open(store, asked.model).read().entries
                   if number in (entry.version, entry.replaces)]  # fmt: skip
        lines += ["", "ledger:"]
        lines += [f"  {entry.number}. {entry.at} {entry.by}: version {entry.version} {entry.action}, the champion was "
                  f"{entry.replaces}{f' ({entry.reason})' if entry.reason else ''}" for entry in entries]  # fmt: skip
        return "\n".join(lines) + "\n"


def differing(root: Path, asked: Registry, first: str, second: str) -> str:
    """Metrics side by side, rules of the policy that differ, where the two came from, and the widths of both."""
    with registry(root) as store, tempfile.TemporaryDirectory() as folder:
        pair = [find(store, asked.model, which) for which in (first, second)]
        got = [fetch(store, one, Path(folder) / str(number)) for number, one in enumerate(pair)]
        a, b = (one.tags for one in pair)
        numbers = [f"version {one.version}" for one in pair]
        rows = [("metric", *numbers, "change")]
        for name in sorted(key.removeprefix(METRIC_TAG) for key in a.keys() & b.keys() if key.startswith(METRIC_TAG)):
            old, new = (float(tags[METRIC_TAG + name]) for tags in (a, b))
            rows.append((name, f"{old:.6g}", f"{new:.6g}", _change(name, old, new)))
        lines = [_table(rows)]
        if any(a.get(name) != b.get(name) for name in ("data_sha256", "judge_sha256")):
            lines.append("They were measured on other data or by another judge: the metrics do not compare.\n")
        before, after = (json.loads(one.files["verdict"].read_text(encoding="utf-8"))["policy"] for one in got)
        for rule in changed_rules(before, after):
            metric, _, name = rule.rpartition(".")
            old_bound, new_bound = (policy.get(metric, {}).get(name, "none") for policy in (before, after))
            lines.append(f"policy {rule}: {old_bound} -> {new_bound}\n")
        rows = [("", *numbers)]
        rows += [
            (name, a.get(name, "")[:SHORT], b.get(name, "")[:SHORT]) for name in LINEAGE if a.get(name) != b.get(name)
        ]
        lines.append(_table(rows) if len(rows) > 1 else "same files, same origin\n")
        arches = [architecture.load(one.files["arch"]) for one in got]
        try:
            lines.append(arch_diff(*arches) if arches[0] != arches[1] else "same architecture\n")
        except UserError as error:  # of two families
            lines.append(f"{error}\n")
        return "\n".join(lines)


def find(store: Store, model: str, which: str) -> "ModelVersion":
    """A version by its number, an alias, or the beginning of the git commit that it came from (the latest of these).

    Raises UserError when there is none.
    """
    number = aliases(store, model).get(which, which)
    if len(number) < SHORTEST and number.isdecimal():
        return version_of(store, model, number)
    if len(which) >= SHORTEST:
        for one in reversed(versions(store, model)):
            if one.tags.get("git_commit", "").startswith(which):
                return one
    raise UserError(f"{model}: no version, alias or commit {which}; `understudy registry list` shows what there is")


def _names(named: Mapping[str, str], number: str) -> str:
    """The aliases of a version. named: as `aliases` returns it."""
    return ", ".join(alias for alias, of in named.items() if of == number)


def _judged(found: Iterable["ModelVersion"]) -> list[str]:
    """Metrics that the latest decision judged by, so that the table has what mattered and no more."""
    for one in reversed(list(found)):
        if "decision" in one.tags:
            policy = json.loads(one.tags["decision"]).get("policy", {})
            return [metric for metric, rules in policy.items() if "informational" not in rules]
    return []


def _number(tags: Mapping[str, str], metric: str) -> str:
    value = tags.get(METRIC_TAG + metric)
    return "" if value is None else f"{float(value):.5g}"


def _change(name: str, old: float, new: float) -> str:
    metric = protocol.find(name)
    return compared(worse_by(metric, new, old)) if metric else f"{new - old:+.6g}"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Columns padded to their widest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(_line(row, widths) for row in rows)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
