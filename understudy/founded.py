"""Whether a promotion in the ledger was decided by the gate: by what was kept of the decision. Pure.

Whoever may write to the registry can write an entry, and a decision beside it. A decision that was made by the gate
holds what it was made of, and that is judged again here. Numbers that were invented whole are found by measuring anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import read_json, sha256
from understudy.gate import judge_against_champion
from understudy.ledger import FIRST, Entry
from understudy.params.gate import AWAITING, Gate

MALFORMED = (KeyError, ValueError, TypeError, AttributeError)  # what reading a decision of any shape raises


@dataclass(frozen=True)
class Judged:
    """A version's verdict, as far as it is at hand. sha256: of verdict.json. policy: in it."""

    sha256: str | None = None
    policy: Any = None

    @classmethod
    def read(cls, path: Path) -> "Judged":
        """Of verdict.json. Raises UserError when it is none."""
        try:
            return cls(sha256(path), read_json(path)["policy"])
        except MALFORMED as error:
            raise UserError(f"{path.name}: not a verdict ({type(error).__name__}: {error})") from error


def unfounded(entry: Entry, decision: Mapping[str, Any], judged: Judged, is_there: Callable[[str], bool]) -> list[str]:
    """What speaks against a promotion, each in a sentence; empty when nothing does.

    decision: of any shape. is_there: whether a version still exists. One that was deleted before could not be measured,
    and then nobody is compared with it.
    """
    try:
        said = [*_against(decision), *_about_another(decision, judged), *_uncompared(entry, decision, is_there)]
    except MALFORMED as error:
        return [f"entry {entry.number}: its decision has been changed ({type(error).__name__}: {error})"]
    return [f"entry {entry.number} promoted version {entry.version} although: {one}" for one in said]


def _against(decision: Mapping[str, Any]) -> list[str]:
    """Reasons and rules that were broken, by what was written and by the numbers themselves."""
    measured = decision["measured"]
    findings = judge_against_champion(Gate(decision["policy"], "policy"), measured) if measured else ()
    written = [rule["message"] for rule in decision["rules"] if rule["outcome"] == "failed"]
    # With the champion left out of the numbers a rule about it would be left to promotion, which this was.
    now = [one.message for one in findings if one.outcome in ("failed", "left to promotion")]
    return list(dict.fromkeys([*decision["reasons"], *written, *now]))


def _about_another(decision: Mapping[str, Any], judged: Judged) -> list[str]:
    said = []
    if judged.sha256 is not None and decision["verdict_sha256"] != judged.sha256:
        said.append("its decision is about another verdict")
    if judged.policy is not None and decision["policy"] != judged.policy:
        said.append("its decision is by another policy than its verdict")
    return said


def _uncompared(entry: Entry, decision: Mapping[str, Any], is_there: Callable[[str], bool]) -> list[str]:
    bound = any(rule in AWAITING for rules in decision["policy"].values() for rule in rules)
    if not bound or entry.replaces == FIRST or decision["measured"] or not is_there(entry.replaces):
        return []
    return [f"it was not compared with version {entry.replaces}, the champion then"]
