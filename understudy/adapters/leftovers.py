"""Aliases and tags made to say what the ledger says, and what killed promotions left behind removed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.adapters.ledger_store import TAG, LedgerStore, has_entries, ledger_runs, written
from understudy.adapters.mlflow import ABSENT, Store
from understudy.adapters.registry import CHALLENGER, CHAMPION, IDENTITY_TAG, VERDICT_TAG, aliases, versions
from understudy.adapters.run_marks import COMMAND_TAG, MODEL_TAG, PROMOTE, SINCE_TAG, going_on, mark
from understudy.errors import DATA_FAILED, UserError
from understudy.founded import Judged
from understudy.ledger import Ledger

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

DECISION_TAG = "decision_sha256"


def settle(store: Store, model: str, ledgers: LedgerStore, keep: str | None = None) -> tuple[str, ...]:
    """Make the registry say what the ledger says, and remove what nobody will finish; tell what was moved by hand.

    keep: identity of the student that is being promoted. Raises UserError with code DATA_FAILED when the ledger cannot
    be read or has been changed.
    """
    ledger, said = ledgers.trusted(), dict[str, None]()
    while True:
        told, there = _show(store, model, ledger, ledgers)
        said |= dict.fromkeys(told)
        # An alias that was set by an older reading of the ledger would stay wrong: whoever sets it last reads last.
        if (now := ledgers.trusted()) == ledger:
            break
        ledger = now
    _remove_duplicates(store, model, ledger, there)
    _remove_undecided(store, model, ledgers, [one for one in there if one.tags.get(IDENTITY_TAG) not in (None, keep)])
    _remove_runs(store, model)
    return tuple(said)


def is_shown(there: Sequence["ModelVersion"], ledger: Ledger) -> bool:
    """Whether aliases and tags say what the ledger says; tags are set after the aliases."""
    return all(one.tags.items() >= _status(ledger, str(one.version)).items() for one in there)


def _show(store: Store, model: str, ledger: Ledger, ledgers: LedgerStore) -> tuple[list[str], Sequence["ModelVersion"]]:
    """Set aliases and tags right. Returns what was wrong with the champion's, and the versions as they were."""
    client, champion, said = store.client, ledger.champion, []
    shown = aliases(store, model).get(CHAMPION)
    there = versions(store, model)
    made = ledger.made_champion()
    if made is not None and shown != champion:
        tags = {str(one.version): one.tags for one in there}.get(made.version, {})
        if doubts := ledgers.doubts(ledger, made, Judged(tags.get(VERDICT_TAG))):
            listed = "\n  ".join(doubts)
            raise UserError(f"{model}: nothing shows that version {champion}, the champion by the ledger, met its "
                            f"gate\n  {listed}", DATA_FAILED)  # fmt: skip
    if champion is not None and champion not in {str(version.version) for version in there}:
        said.append(f"version {champion}, the champion by the ledger, was deleted; `understudy registry rollback`")
    elif champion is not None and shown != champion:
        if shown != ledger.entries[-1].replaces and is_shown(there, ledger):
            said.append(f"the alias {CHAMPION} had been moved to version {shown}; the ledger says {champion}")
        client.set_registered_model_alias(model, CHAMPION, champion)
    elif champion is None and shown is not None and ledgers.read() == ledger:
        said.append(f"the alias {CHAMPION} had been set to version {shown}, which the ledger does not know; removed")
        client.delete_registered_model_alias(model, CHAMPION)
    if champion is not None and aliases(store, model).get(CHALLENGER) == champion:
        client.delete_registered_model_alias(model, CHALLENGER)
    for version in there:
        number = str(version.version)
        status = _status(ledger, number)
        decided = ledger.decided(number)
        if decided is not None and version.tags.get(DECISION_TAG) != decided.decision_sha256:
            status = {"decision": written(ledgers.decision(decided))} | status
        for name, value in status.items():
            if version.tags.get(name) != value:
                client.set_model_version_tag(model, number, name, value)
    return said, there


def _status(ledger: Ledger, version: str) -> dict[str, str]:
    """Tags that tell what the ledger says of a version; the decision's hash goes last: the others are there then."""
    decided = ledger.decided(version)
    if decided is None:
        return {}
    status = {"status": ledger.status(version), "decided_at": decided.at, "decided_by": decided.by,
              "replaced": decided.replaces}  # fmt: skip
    if back := ledger.withdrawn(version):
        status["withdrawn"] = f"{back.at} by {back.by}: {back.reason or 'no reason given'}"
    return status | {DECISION_TAG: decided.decision_sha256}


def _remove_duplicates(store: Store, model: str, ledger: Ledger, there: Sequence["ModelVersion"]) -> None:
    """Of versions of one student under one verdict, made at once, the first stays."""
    seen = set()
    for version in there:
        identity = version.tags.get(IDENTITY_TAG)
        if identity is not None and identity in seen and ledger.last(str(version.version)) is None:
            remove_version(store, model, str(version.version))
        seen.add(identity)


def _remove_undecided(store: Store, model: str, ledgers: LedgerStore, there: Sequence["ModelVersion"]) -> None:
    """Versions whose promotion ended before anything was decided of them. MLflow takes their aliases away with them."""
    ledger = ledgers.read()
    for version in there:
        number = str(version.version)
        if ledger.last(number) is None and (run := _run(store, version)) is not None and not _is_at_work(run):
            ledger = ledgers.read()  # whoever was at work a moment ago may have decided since
            if ledger.last(number) is None:
                remove_version(store, model, number)


def _run(store: Store, version: "ModelVersion") -> "Run | None":
    """The run of a promotion that made a version; None where there is none."""
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        return None
    try:
        run = store.client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None
    return run if run.data.tags.get(COMMAND_TAG) == PROMOTE else None


def _is_at_work(run: "Run") -> bool:
    return going_on(run.data.tags, run.info.start_time / 1000)


def take_over(store: Store, model: str, version: "ModelVersion") -> None:
    """Make a version that was left undecided this thread's own, so that nobody removes it meanwhile.

    Where its promotion is still going on, on it goes, of the same student. The run is brought back if it was deleted:
    to another machine what lasts for long looks abandoned.
    """
    run = _run(store, version)
    if run is None:
        return
    if run.info.lifecycle_stage == "deleted":
        store.client.restore_run(run.info.run_id)
    own = mark(PROMOTE, model)
    is_own = all(run.data.tags.get(name) == value for name, value in own.items() if name != SINCE_TAG)
    if not is_own and not _is_at_work(run):
        for name, value in own.items():
            store.client.set_tag(run.info.run_id, name, value)


def _remove_runs(store: Store, model: str) -> None:
    """Runs of promotions that ended before they had made a version, and ledgers that lost to another."""
    client = store.client
    wanted = f"tags.`{COMMAND_TAG}` = '{PROMOTE}' and tags.`{MODEL_TAG}` = '{model}'"
    runs = [*client.search_runs([store.experiment], wanted), *ledger_runs(store, model)]
    idle = [run for run in runs if not _is_at_work(run)]
    # After the runs: of those that are idle none makes a version any more.
    used = {version.run_id for version in versions(store, model)}
    used.add(client.get_registered_model(model).tags.get(TAG))
    for run in idle:
        if run.info.run_id not in used and not has_entries(run):  # a ledger stays, whatever the model's tag names
            client.delete_run(run.info.run_id)
        elif run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id)


def remove_version(store: Store, model: str, version: str) -> None:
    """Delete a version that another may be deleting too."""
    from mlflow.exceptions import MlflowException

    try:
        store.client.delete_model_version(model, version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
