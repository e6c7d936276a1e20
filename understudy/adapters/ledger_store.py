"""Where MLflow keeps a model's ledger: in one run, which the registered model names in a tag.

An entry is a parameter of that run, and its key is the entry's number. MLflow has no call that changes a parameter, and
of two who write the same one at once the database lets one through: appending is a compare-and-swap, on SQLite and on
Postgres, and whoever came second reads again and decides anew. What a decision was made of is an artifact of the run,
named by its content.
"""

import getpass
import hashlib
import json
import os
import re
import socket
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.adapters.mlflow import Store, downloaded
from understudy.adapters.registry import version_of
from understudy.adapters.run_marks import COMMAND_TAG, LEDGER, MODEL_TAG, mark
from understudy.errors import DATA_FAILED, UserError, in_one_line
from understudy.founded import MALFORMED, Judged, unfounded
from understudy.ledger import FIRST, Action, Entry, Ledger, parse

if TYPE_CHECKING:
    from mlflow.entities import Run

TAG = "understudy.ledger"  # of the registered model: the run's id
KEY = re.compile(r"[0-9]{6}")  # of a parameter that is an entry
LONGEST = 6000  # characters of a parameter; MLflow cuts longer ones off without a word
DECISIONS = "decisions"


class LedgerStore:
    """The ledger of one registered model. run: the id of the run that holds it."""

    def __init__(self, store: Store, model: str, run: str) -> None:
        self._store, self._model, self.run = store, model, run

    @classmethod
    def open(cls, store: Store, model: str) -> "LedgerStore":
        """The ledger of `model`. Raises UserError when there is no such model, or it was not registered by us."""
        found = cls.find(store, model)
        if found is not None:
            return found
        if store.client.search_registered_models(f"name = '{model}'"):
            raise UserError(f"{model}: the registry at {store.uri} has a model of this name that was not registered by "
                            "understudy; choose another in registry.model")  # fmt: skip
        raise UserError(f"{model}: no such model in the registry at {store.uri}; `understudy registry promote` "
                        "registers")  # fmt: skip

    @classmethod
    def find(cls, store: Store, model: str) -> "LedgerStore | None":
        """The ledger of `model`; None when there is no such model, or it was not registered by us."""
        registered = store.client.search_registered_models(f"name = '{model}'")
        run = registered[0].tags.get(TAG) if registered else None
        return None if run is None else cls(store, model, run)

    @classmethod
    def create(cls, store: Store, model: str) -> "LedgerStore":
        """The ledger of `model`, made with the registered model if there is none. Of two makers one wins."""
        from mlflow.exceptions import MlflowException

        client = store.client
        if not client.search_registered_models(f"name = '{model}'"):
            tags = mark(LEDGER, model)
            run = client.create_run(store.experiment, run_name=f"ledger of {model}", tags=tags).info.run_id
            client.set_terminated(run)
            try:
                client.create_registered_model(model, tags={TAG: run})
            except MlflowException as error:
                client.delete_run(run)
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        return cls.open(store, model)

    def read(self) -> Ledger:
        """All entries. Raises UserError with code DATA_FAILED when one is damaged, or the run is gone."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._store.client.get_run(self.run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UserError(f"{self._model}: its ledger, run {self.run}, is gone", DATA_FAILED) from None
        return parse({int(key): text for key, text in run.data.params.items() if KEY.fullmatch(key)})

    def trusted(self) -> Ledger:
        """All entries, once nothing shows that the ledger was meddled with. Raises UserError with code DATA_FAILED."""
        ledger = self.read()
        if wrong := self.problems(ledger):
            listed = "\n  ".join(wrong)
            raise UserError(f"{self._model}: its ledger cannot be trusted, and nothing is built on it; `understudy "
                            "registry verify` says more, registry.model can name another model\n  "
                            f"{listed}", DATA_FAILED)  # fmt: skip
        return ledger

    def problems(self, ledger: Ledger) -> list[str]:
        """What shows that the ledger was changed, or that another was put in its place; each in a sentence."""
        others = [run.info.run_id for run in ledger_runs(self._store, self._model)
                  if run.info.run_id != self.run and has_entries(run)]  # fmt: skip
        return [*ledger.problems(),
                *(f"another ledger of this model has entries too: run {run}, beside run {self.run}; delete the run of "
                  "the one that is not to count" for run in others)]  # fmt: skip

    def doubts(self, ledger: Ledger, entry: Entry, judged: Judged) -> list[str]:
        """What speaks against an entry: nobody decided so, or the gate was not met. Empty when nothing does.

        judged: the verdict of the entry's version. Raises UserError where the store cannot be asked now.
        """
        try:
            decision = self.decision(entry)
        except UserError as error:
            if error.code != DATA_FAILED:
                raise
            return [str(error)]
        if entry.action == "refused":
            return []
        if entry.action == "promoted":
            return unfounded(entry, decision, judged, self._is_there)
        met, back = ledger.promoted(entry.version, until=entry.number), f"entry {entry.number} goes back to version"
        if met is None:
            return [f"{back} {entry.version}, which had never met its gate"]
        if met.manifest_sha256 != entry.manifest_sha256:
            return [f"{back} {entry.version} with other files than those that were promoted"]
        return self.doubts(ledger, met, judged)

    def _is_there(self, version: str) -> bool:
        try:
            version_of(self._store, self._model, version)
        except UserError:
            return False
        return True

    def append(self, entry: Entry, decision: Mapping[str, Any]) -> bool:
        """Add an entry; False when another took its place. decision: as `digest` saw it."""
        from mlflow.exceptions import MlflowException

        text = entry.text()
        if len(text) > LONGEST:
            raise UserError(f"the reason is too long: the ledger takes {LONGEST} characters an entry")
        client = self._store.client
        client.log_text(self.run, written(decision), f"{DECISIONS}/{entry.decision_sha256}.json")
        try:
            client.log_param(self.run, f"{entry.number:06}", text)
        except MlflowException:
            # Taken by another, or by an attempt of ours whose answer was lost; or the store is down, which shows here.
            params = client.get_run(self.run).data.params
            if f"{entry.number:06}" not in params:
                raise
            return params[f"{entry.number:06}"] == text
        return True

    def decision(self, entry: Entry) -> dict[str, Any]:
        """What an entry was decided by.

        Raises UserError with code DATA_FAILED when it is gone, was changed, or does not say what the entry says; with
        another code, or what MLflow raises, where the store cannot be asked now.
        """
        from mlflow.exceptions import MlflowException

        path = f"{DECISIONS}/{entry.decision_sha256}.json"
        try:
            with tempfile.TemporaryDirectory() as folder:
                content = downloaded(self._store, f"runs:/{self.run}/{path}", Path(folder)).read_bytes()
        except (MlflowException, OSError) as error:
            if path not in {one.path for one in self._store.client.list_artifacts(self.run, DECISIONS)}:
                raise UserError(f"{path} of the ledger of {self._model} is gone", DATA_FAILED) from error
            raise UserError(f"{path} of the ledger of {self._model} cannot be read: {in_one_line(error)}; where the "
                            "store was busy or down, run it again") from error  # fmt: skip
        if hashlib.sha256(content).hexdigest() != entry.decision_sha256:
            raise UserError(f"{path} of the ledger of {self._model} has been changed", DATA_FAILED)
        try:
            decision: dict[str, Any] = json.loads(content)
            said = [decision.get(key) for key in ("model", "version", "action", "champion", "by", "at")]
        except MALFORMED as error:
            raise UserError(f"{path} of the ledger of {self._model} has been changed: it is no decision ({error})",
                            DATA_FAILED) from error  # fmt: skip
        champion = None if entry.replaces == FIRST else entry.replaces
        if said != [self._model, entry.version, entry.action, champion, entry.by, entry.at]:
            raise UserError(f"the ledger of {self._model}: entry {entry.number} is not what {path} says", DATA_FAILED)
        return decision


def ledger_runs(store: Store, model: str) -> list["Run"]:
    """The runs that say of themselves that they hold a ledger of that model."""
    wanted = f"tags.`{COMMAND_TAG}` = '{LEDGER}' and tags.`{MODEL_TAG}` = '{model}'"
    return list(store.client.search_runs([store.experiment], wanted))


def has_entries(run: "Run") -> bool:
    """Whether something was decided in a ledger."""
    return any(KEY.fullmatch(key) for key in run.data.params)


def entry(
    ledger: Ledger, action: Action, version: str, manifest_sha256: str, decision: Mapping[str, Any], reason: str = ""
) -> Entry:
    """The next entry, as `LedgerStore.append` takes it. decision: with `signed` in it."""
    return Entry(
        number=len(ledger.entries) + 1,
        action=action,
        version=version,
        replaces=ledger.champion or FIRST,
        manifest_sha256=manifest_sha256,
        decision_sha256=digest(decision),
        by=decision["by"],
        at=decision["at"],
        reason=reason,
        previous=ledger.head,
    )


def signed() -> dict[str, str]:
    """Who decides, and when. MLflow's own user name goes first: on a cluster everybody is the same system user."""
    try:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return {"by": f"{user}@{socket.gethostname()}", "at": datetime.now(UTC).isoformat(timespec="seconds")}


def written(decision: Mapping[str, Any]) -> str:
    """A decision as it is kept and hashed."""
    return json.dumps(decision, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)


def digest(decision: Mapping[str, Any]) -> str:
    """SHA-256 of a decision's text."""
    return hashlib.sha256(written(decision).encode()).hexdigest()
