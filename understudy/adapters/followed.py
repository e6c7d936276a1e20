"""What is to be used by an address of the registry: of a champion what the ledger says, whatever the alias says.

The alias only shows who is champion, and anybody who may write to the registry can move it. A server that believed it
would put into production what never met its gate.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.registry import (
    CHAMPION,
    Registered,
    aliases,
    changed_files,
    fetch,
    meant,
    parse_address,
    registered_sums,
    registry,
    version_of,
)
from understudy.errors import GATE_FAILED, UserError
from understudy.files import sha256
from understudy.founded import Judged
from understudy.ledger import Ledger

if TYPE_CHECKING:
    from understudy.translator import Translator

NEVER = "no entry of the ledger promoted it"
SHA256_TAG = "{}_sha256"  # of a version, by the name of a file


@dataclass(frozen=True)
class Followed:
    """version: its number. by_ledger: whether a ledger says that it is champion. doubt: what is wrong all the same."""

    version: str
    by_ledger: bool
    doubt: str


def followed(root: Path, address: str) -> Followed:
    """What `models:/NAME@ALIAS` or `models:/NAME/VERSION` is now. Raises UserError when it is nothing to be served."""
    name, alias, _ = parse_address(address)
    with registry(root) as store:
        ledgers = LedgerStore.find(store, name) if alias == CHAMPION else None
        if ledgers is None:
            number = str(version_of(store, *meant(store, address)).version)
            foreign = f"{name} was not registered by understudy: no ledger says that version {number} met a gate"
            return Followed(number, False, foreign if alias == CHAMPION else "")
        ledger = ledgers.trusted()
        said = ledger.displaced(aliases(store, name).get(CHAMPION))
        if ledger.champion is None:
            raise UserError(f"{address}: no version has met its gate{f'; {said}' if said else ''}", GATE_FAILED)
        return Followed(ledger.champion, True, said)


def fetch_followed(root: Path, address: str, version: str, folder: Path) -> Registered:
    """Bring that version of an address into `folder`.

    Raises UserError when its files are not those that were registered, or, of a champion, when nobody decided so.
    """
    name, alias, _ = parse_address(address)
    with registry(root) as store:
        got = fetch(store, version_of(store, name, version), folder)
        ledgers = LedgerStore.find(store, name)
        ledger = ledgers.trusted() if ledgers else Ledger(())
        made = ledger.made_champion() if alias == CHAMPION else None
        if ledgers is not None and made is not None:
            entry = made if made.version == version else ledger.promoted(version)
            judged = Judged.read(got.files["verdict"]) if "verdict" in got.files else Judged()
            doubts = ledgers.doubts(ledger, entry, judged) if entry else [NEVER]
            if doubts:
                raise UserError(f"{name} version {version}: nothing shows that it met its gate: {'; '.join(doubts)}",
                                GATE_FAILED)  # fmt: skip
        if wrong := _changed(got, ledger):
            raise UserError(f"{name} version {version}: its files are not those that were promoted: {'; '.join(wrong)}",
                            GATE_FAILED)  # fmt: skip
        return got


def load_translator(root: Path, address: str) -> "Translator":
    """The network that an address is now; what is wrong with it is told on stderr. Raises as `followed` does."""
    from understudy.translator import Translator

    found = followed(root, address)
    if found.doubt:
        print(f"{address}: {found.doubt}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        files = fetch_followed(root, address, found.version, Path(folder)).files
        return Translator.load(files["arch"], files["weights"], files["dataset"])


def _changed(got: Registered, ledger: Ledger) -> list[str]:
    """What tells its files from those of then: by the ledger, or by its tags where no ledger speaks of it."""
    manifest = registered_sums(ledger, got.version, got.tags)
    if manifest is not None:
        return changed_files(got, manifest)
    promised = {path: got.tags.get(SHA256_TAG.format(name)) for name, path in got.files.items()}
    other = [path.name for path, tag in promised.items() if tag not in (None, sha256(path))]
    return [f"{name}: is not what its tag says" for name in other]
