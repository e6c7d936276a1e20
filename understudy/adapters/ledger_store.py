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
from typing import Any

from understudy.adapters.mlflow import Store
from understudy.adapters.run_marks import LEDGER, mark
from understudy.errors import DATA_FAILED, UserError, in_one_line
from understudy.ledger import FIRST, Action, Entry, Ledger, parse

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

        Raises UserError with code DATA_FAILED when it is gone, was changed, or does not say what the entry says.
        """
        from mlflow.exceptions import MlflowException

        path = f"{DECISIONS}/{entry.decision_sha256}.json"
        try:
            with tempfile.TemporaryDirectory() as folder:
                text = Path(self._store.client.download_artifacts(self.run, path, folder)).read_text(encoding="utf-8")
        except (MlflowException, OSError) as error:
            raise UserError(f"{path} of the ledger of {self._model} cannot be read: {in_one_line(error)}; where "
                            "the store was down, run it again", DATA_FAILED) from error  # fmt: skip
        if hashlib.sha256(text.encode()).hexdigest() != entry.decision_sha256:
            raise UserError(f"{path} of the ledger of {self._model} has been changed", DATA_FAILED)
        decision: dict[str, Any] = json.loads(text)
        said = [decision.get(key) for key in ("model", "version", "action", "champion", "by", "at")]
        champion = None if entry.replaces == FIRST else entry.replaces
        if said != [self._model, entry.version, entry.action, champion, entry.by, entry.at]:
            raise UserError(f"the ledger of {self._model}: entry {entry.number} is not what {path} says", DATA_FAILED)
        return decision


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
