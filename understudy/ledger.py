"""The registry's ledger: who was put into production, when, by whom and why. Entries are appended and never changed.

The ledger decides who is champion; the alias in the registry, the tags of a version and the copies of decisions only
show what it says, and are set right by whoever comes next. Each entry holds the SHA-256 of the one before, so that an
entry that was changed or taken out shows. Pure: where the ledger is kept is understudy/adapters/ledger_store.py.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from understudy.errors import DATA_FAILED, UserError

Action = Literal["promoted", "refused", "rolled back"]
FIRST = "none"  # before the first entry, and in place of a champion while there is none


@dataclass(frozen=True)
class Entry:
    """One decision.

    number: from 1. version: whom it is about: promoted and `rolled back` (to) make it champion. replaces: the champion
    until then, or FIRST. manifest_sha256: of the version's SHA256SUMS. decision_sha256: of everything that was
    considered (numbers, policy, reasons), kept beside the ledger. at: UTC, ISO 8601. reason: what the person who rolled
    back said. previous: SHA-256 of the text of the entry before, or FIRST.
    """

    number: int
    action: Action
    version: str
    replaces: str
    manifest_sha256: str
    decision_sha256: str
    by: str
    at: str
    reason: str
    previous: str

    def text(self) -> str:
        """As it is kept and hashed."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    def sha256(self) -> str:
        """Of its text."""
        return hashlib.sha256(self.text().encode()).hexdigest()


@dataclass(frozen=True)
class Ledger:
    """All entries, in order."""

    entries: tuple[Entry, ...]

    @property
    def champion(self) -> str | None:
        """The version that is in production."""
        made = self.made_champion()
        return made.version if made else None

    def made_champion(self) -> Entry | None:
        """The entry that made the present champion."""
        made = self._champions()
        return made[-1] if made else None

    def status(self, version: str) -> str:
        """What a version is, in a word: champion, former champion, withdrawn, refused, or undecided."""
        if version == self.champion:
            return "champion"
        if self.withdrawn(version):
            return "withdrawn"
        if self.promoted(version):
            return "former champion"
        return "refused" if self.last(version) else "undecided"

    @property
    def head(self) -> str:
        """What the next entry's `previous` must be."""
        return self.entries[-1].sha256() if self.entries else FIRST

    def last(self, version: str) -> Entry | None:
        """The last entry about a version."""
        return next((entry for entry in reversed(self.entries) if entry.version == version), None)

    def decided(self, version: str) -> Entry | None:
        """The last entry in which a version was promoted or refused."""
        found = (one for one in reversed(self.entries) if one.version == version and one.action != "rolled back")
        return next(found, None)

    def before(self, there: Collection[str] | None = None) -> str | None:
        """The version that was in production before the present one, leaving out those that were rolled back from.

        there: versions that still exist; None: all do.
        """
        others = (entry.version for entry in reversed(self._champions()) if entry.version != self.champion)
        kept = (version for version in others if there is None or version in there)
        return next((version for version in kept if not self.withdrawn(version)), None)

    def promoted(self, version: str, until: int | None = None) -> Entry | None:
        """The last entry, or the last one until that number, by which a version passed its gate and became champion."""
        found = (entry for entry in reversed(self.entries[:until])
                 if entry.action == "promoted" and entry.version == version)  # fmt: skip
        return next(found, None)

    def withdrawn(self, version: str) -> Entry | None:
        """The entry that took a version out of production by going back to an older one, unless it came back since."""
        for entry in reversed(self.entries):
            if entry.action != "refused" and entry.version == version:
                return None
            if entry.action == "rolled back" and entry.replaces == version:
                return entry if self._made(entry.version) < self._made(version) else None
        return None

    def problems(self) -> list[str]:
        """What shows that an entry was changed, taken out or put in; empty when nothing does."""
        found, previous, champion = [], FIRST, FIRST
        for number, entry in enumerate(self.entries, 1):
            if entry.number != number:
                found.append(f"entry {entry.number} stands in place {number}")
            if entry.previous != previous:
                found.append(f"entry {number} does not follow the entry before it, which has been changed since")
            if entry.replaces != champion:
                found.append(f"entry {number} replaces version {entry.replaces}, the champion was {champion}")
            previous = entry.sha256()
            champion = champion if entry.action == "refused" else entry.version
        return found

    def displaced(self, shown: str | None) -> str:
        """What is wrong with the registry's alias of the champion, in a sentence, or empty. shown: its version."""
        if shown == self.champion:
            return ""
        points, said = (f"version {version}" if version else "nothing" for version in (shown, self.champion))
        return (f"the alias points to {points}, the ledger says {said}: it was moved by hand, or a promotion was "
                "killed; the next promotion or rollback sets it right")  # fmt: skip

    def _made(self, version: str) -> int:
        """The number of the entry that first made a version champion."""
        return next(entry.number for entry in self._champions() if entry.version == version)

    def _champions(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.action != "refused"]


def parse(texts: Mapping[int, str]) -> Ledger:
    """The ledger of texts by their numbers. Raises UserError with code DATA_FAILED naming an entry that is none."""
    entries = []
    for number in sorted(texts):
        try:
            entry = Entry(**json.loads(texts[number]))
            if entry.action not in get_args(Action):
                raise ValueError(f"unknown action {entry.action!r}")
        except (TypeError, ValueError) as error:
            message = (
                f"the registry's ledger: entry {number} is damaged ({error}); `understudy registry verify` says more"
            )
            raise UserError(message, DATA_FAILED) from None
        entries.append(entry)
    return Ledger(tuple(entries))
