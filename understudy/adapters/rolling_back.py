"""Back to a former champion."""

import tempfile
from pathlib import Path

from understudy.adapters import leftovers
from understudy.adapters.ledger_store import LedgerStore, entry, signed
from understudy.adapters.mlflow import Store
from understudy.adapters.promoting import Promotion, alone, repeated
from understudy.adapters.registry import changed_files, fetch, registry, version_of, versions
from understudy.errors import GATE_FAILED, UserError
from understudy.ledger import Entry, Ledger
from understudy.params.registry import Registry


def rollback(root: Path, asked: Registry, to: str | None, reason: str) -> Promotion:
    """Make a former champion champion again: version `to`, or the one before the present champion.

    It met its gate when it was promoted, and its files must be those of then. A rollback that was cut off after it was
    decided is finished, not done once more. Raises UserError when there is no such version, or somebody else changed
    the champion meanwhile.
    """
    with registry(root) as store, alone(root, store):
        ledgers = LedgerStore.open(store, asked.model)
        cut_off = _cut_off(store, asked.model, ledgers.read(), to)
        leftovers.settle(store, asked.model, ledgers)
        if cut_off is not None:
            return Promotion(asked.model, cut_off.version, False, cut_off.replaces, ())
        ledger = ledgers.read()
        target = _former(ledger, asked.model, to)
        with tempfile.TemporaryDirectory() as folder:
            got = fetch(store, version_of(store, asked.model, target.version), Path(folder))
            wrong = changed_files(got, target.manifest_sha256)
        if wrong:
            listed = "\n  ".join(wrong)
            raise UserError(f"{asked.model} version {target.version}: its files are not those that were promoted:\n  "
                            f"{listed}", GATE_FAILED)  # fmt: skip
        record = {"model": asked.model, "version": target.version, "action": "rolled back",
                  "champion": ledger.champion, "reason": reason, **signed()}  # fmt: skip
        made = entry(ledger, "rolled back", target.version, target.manifest_sha256, record, reason)
        if not ledgers.append(made, record):
            raise UserError(f"{asked.model}: the champion was changed by somebody else just now; look at "
                            "`understudy registry show champion` and decide again")  # fmt: skip
        repeated(lambda: leftovers.settle(store, asked.model, ledgers))
        return Promotion(asked.model, target.version, False, ledger.champion, ())


def _cut_off(store: Store, model: str, ledger: Ledger, to: str | None) -> Entry | None:
    """The rollback that the ledger ends with, if the registry does not show it yet and it is the one asked for."""
    last = ledger.entries[-1] if ledger.entries else None
    if last is None or last.action != "rolled back" or to not in (None, last.version):
        return None
    return None if leftovers.is_shown(versions(store, model), ledger) else last


def _former(ledger: Ledger, model: str, to: str | None) -> Entry:
    """The entry by which the version to go back to was once promoted."""
    wanted = to or ledger.before()
    if wanted is None:
        raise UserError(f"{model}: there is no champion to go back to")
    if wanted == ledger.champion:
        raise UserError(f"{model}: version {wanted} is the champion")
    entry = ledger.promoted(wanted)
    if entry is None:
        raise UserError(f"{model}: version {wanted} has never been champion; `understudy registry list` shows who was")
    return entry
