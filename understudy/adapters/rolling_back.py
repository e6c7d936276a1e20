"""Back to a former champion."""

import tempfile
from pathlib import Path

from understudy.adapters import leftovers
from understudy.adapters.ledger_store import LedgerStore, entry, signed
from understudy.adapters.mlflow import Store
from understudy.adapters.promoting import Promotion, alone, repeated
from understudy.adapters.registry import changed_files, fetch, registry, version_of, versions
from understudy.errors import GATE_FAILED, UserError
from understudy.founded import Judged
from understudy.ledger import Entry, Ledger
from understudy.params.registry import Registry


def rollback(root: Path, asked: Registry, to: str | None, reason: str, leaving: str | None = None) -> Promotion:
    """Make a former champion champion again: version `to`, or the one before the present champion.

    It met its gate when it was promoted, and its files must be those of then. A rollback that was cut off after it was
    decided is finished, not done once more. leaving: the champion to be replaced; with it the same command may be
    repeated at any time, and never goes further back. Raises UserError when there is no such version, when another is
    champion than `leaving`, or when somebody else changed the champion meanwhile.
    """
    with registry(root) as store, alone(root, store):
        ledgers = LedgerStore.open(store, asked.model)
        done = _done(store, asked.model, ledgers.read(), to, leaving)
        leftovers.settle(store, asked.model, ledgers)
        if done is not None:
            return Promotion(asked.model, done.version, False, done.replaces, ())
        ledger = ledgers.read()
        if leaving not in (None, ledger.champion):
            raise UserError(f"{asked.model}: version {ledger.champion} is the champion and not version {leaving}; "
                            "nothing was gone back from")  # fmt: skip
        target = _former(ledger, asked.model, to, {str(one.version) for one in versions(store, asked.model)})
        with tempfile.TemporaryDirectory() as folder:
            got = fetch(store, version_of(store, asked.model, target.version), Path(folder))
            wrong = changed_files(got, target.manifest_sha256)
            if wrong:
                listed = "\n  ".join(wrong)
                raise UserError(f"{asked.model} version {target.version}: its files are not those that were promoted:"
                                f"\n  {listed}", GATE_FAILED)  # fmt: skip
            if doubts := ledgers.doubts(ledger, target, Judged.read(got.files["verdict"])):
                listed = "\n  ".join(doubts)
                raise UserError(f"{asked.model} version {target.version}: nothing shows that it met its gate\n  "
                                f"{listed}", GATE_FAILED)  # fmt: skip
        record = {"model": asked.model, "version": target.version, "action": "rolled back",
                  "champion": ledger.champion, "reason": reason, **signed()}  # fmt: skip
        made = entry(ledger, "rolled back", target.version, target.manifest_sha256, record, reason)
        print(f"{asked.model}: going back from version {ledger.champion}; should this be cut off, `understudy registry "
              f"rollback --from {ledger.champion}` finishes it and goes no further", flush=True)  # fmt: skip
        if not ledgers.append(made, record):
            raise UserError(f"{asked.model}: the champion was changed by somebody else just now; look at "
                            "`understudy registry show champion` and decide again")  # fmt: skip
        repeated(lambda: leftovers.settle(store, asked.model, ledgers))
        return Promotion(asked.model, target.version, False, ledger.champion, ())


def _done(store: Store, model: str, ledger: Ledger, to: str | None, leaving: str | None) -> Entry | None:
    """The rollback that made the present champion, if it is the one asked for.

    Without `leaving` another one may be meant, unless it is the ledger's last word and the registry does not show it.
    """
    made = ledger.made_champion()
    if made is None or made.action != "rolled back" or to not in (None, made.version):
        return None
    if leaving is not None:
        return made if made.replaces == leaving else None
    cut_off = made == ledger.entries[-1] and not leftovers.is_shown(versions(store, model), ledger)
    return made if cut_off else None


def _former(ledger: Ledger, model: str, to: str | None, there: set[str]) -> Entry:
    """The entry by which the version to go back to was once promoted."""
    wanted = to or ledger.before(there)
    if wanted is None:
        raise UserError(f"{model}: there is no champion to go back to")
    if wanted == ledger.champion:
        raise UserError(f"{model}: version {wanted} is the champion")
    entry = ledger.promoted(wanted)
    if entry is None:
        raise UserError(f"{model}: version {wanted} has never been champion; `understudy registry list` shows who was")
    return entry
