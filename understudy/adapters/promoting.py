"""From a verdict that passed to the alias `champion`.

The order is what makes it safe to kill at any moment, and to run many times at once:

1. The student's files are copied, hashed, and compared with its verdict; a refusal here touches no registry.
2. The files are stored, then the version is made, with all its tags at once; it becomes `challenger`.
3. What is stored is read again and compared, the student is decided upon against the present champion, both measured
   anew, and the decision is appended to the ledger, which takes it only if nothing else was appended since the ledger
   was read. Otherwise the student is decided upon again.
4. Aliases and tags are made to say what the ledger says.

Whoever comes next does step 4 for those who were killed before it, and removes what they left at step 2.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from understudy.adapters import leftovers
from understudy.adapters.candidate import Candidate, read_candidate, require
from understudy.adapters.ledger_store import LedgerStore, entry, signed
from understudy.adapters.mlflow import Store, folder_of
from understudy.adapters.model_folder import write_model_folder
from understudy.adapters.registry import (
    CARD,
    CHALLENGER,
    IDENTITY_TAG,
    MANIFEST_TAG,
    NETWORK,
    Registered,
    aliases,
    changed_files,
    fetch,
    registered_sums,
    registry,
    version_of,
    versions,
)
from understudy.adapters.run_marks import PROMOTE, mark
from understudy.errors import GATE_FAILED, UserError
from understudy.files import sha256
from understudy.founded import Judged
from understudy.ledger import Action, Ledger
from understudy.locks import held
from understudy.params.gate import AWAITING, Gate
from understudy.params.registry import Registry
from understudy.params.scoring import Scoring
from understudy.promotion import Decision, against

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

FOLDER = "student"  # of the model among its run's artifacts
ATTEMPTS = 5
BROKEN_OFF = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "BAD_REQUEST")  # how MLflow answers a database's refusal
Done = TypeVar("Done")


@dataclass(frozen=True)
class Promotion:
    """version: now champion. registered: whether it is new. replaced: the version that was champion before, or None."""

    model: str
    version: str
    registered: bool
    replaced: str | None
    notes: tuple[str, ...]


def promote(root: Path, asked: Registry, gate: Gate, scoring: Scoring, again: bool = False) -> Promotion:
    """Register the student in `root` and make it champion, if its verdict and the champion allow it.

    gate: the policy as it is now; a verdict by another one is out of date. scoring: how the champion is measured.
    again: promote a version even though it was rolled back from. A student that passed its gate and is worse than the
    champion allows stays registered, as challenger. Raises UserError with code GATE_FAILED and every reason when it is
    refused, DATA_FAILED without a readable verdict.
    """
    with tempfile.TemporaryDirectory() as folder:
        candidate = read_candidate(root, asked.model, gate, Path(folder))
        with registry(root) as store, alone(root, store):
            work = _Work(root, store, asked.model, gate, scoring, candidate)
            return repeated(lambda: work.run(again))


@contextmanager
def alone(root: Path, store: Store) -> Iterator[None]:
    """One process at a time where the store is a file: SQLite has one writer, and the rest give up after a moment."""
    if store.uri.startswith("http"):
        yield
    else:
        with held(folder_of(root, store.uri) / ".understudy" / "registry.lock"):
            yield


def repeated(work: Callable[[], Done]) -> Done:
    """Do `work` again, a few times, when the store broke off: MLflow does so where two write at once.

    Every step of it may be done twice.
    """
    from mlflow.exceptions import MlflowException

    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except MlflowException as error:
            if error.error_code not in BROKEN_OFF:
                raise
            time.sleep(attempt * random.uniform(0.1, 0.5))
    return work()


@dataclass(frozen=True)
class _Work:
    """One candidate on its way into one registry."""

    root: Path
    store: Store
    model: str
    gate: Gate
    scoring: Scoring
    candidate: Candidate

    def run(self, again: bool) -> Promotion:
        store, model, candidate = self.store, self.model, self.candidate
        ledgers = LedgerStore.create(store, model)
        for said in leftovers.settle(store, model, ledgers, candidate.identity):
            print(f"{model}: {said}", flush=True)
        version = self._found()
        new = version is None
        version = version or self._register()
        number, manifest = str(version.version), self._require_stored(version, ledgers.read())
        if ledgers.read().last(number) is None:
            leftovers.take_over(store, model, version)
        measured: dict[str | None, Mapping[str, Any]] = {}  # by champion: who loses the race measures no champion twice
        while True:
            ledger = ledgers.read()
            if ledger.champion == number:
                leftovers.settle(store, model, ledgers)
                return Promotion(model, number, new, None, ("this student is the champion already", *candidate.notes))
            if (back := ledger.withdrawn(number)) and not again:
                raise UserError(f"{model} version {number}: not promoted: {back.by} rolled back from it on {back.at} "
                                f"({back.reason or 'no reason given'}); --again promotes it all the same",
                                GATE_FAILED)  # fmt: skip
            store.client.set_registered_model_alias(model, CHALLENGER, number)
            champion = self._champion(ledger)
            if champion not in measured:
                measured[champion] = self._measure(champion, ledger, ledgers)
            decision = self._decide(champion, measured[champion])
            action: Action = "promoted" if decision.promote else "refused"
            last = ledger.last(number)
            if action == "refused" and last and (last.action, last.replaces) == (action, ledger.champion):
                break  # said before, of the same two
            leftovers.take_over(store, model, version_of(store, model, number))  # which raises if it was removed
            record = self._record(number, action, ledger.champion, decision, measured[champion])
            if ledgers.append(entry(ledger, action, number, manifest, record), record):
                break
        leftovers.settle(store, model, ledgers)
        # Whoever took the alias from the champion just now may have met this one's.
        if not decision.promote and CHALLENGER not in aliases(store, model):
            store.client.set_registered_model_alias(model, CHALLENGER, number)
        require(decision, f"{model} version {number} stays challenger")
        return Promotion(model, number, new, ledger.champion, (*decision.notes, *candidate.notes))

    def _found(self) -> "ModelVersion | None":
        """The first version of these very files under this very verdict."""
        identity = self.candidate.identity
        known = versions(self.store, self.model)
        return next((one for one in known if one.tags.get(IDENTITY_TAG) == identity), None)

    def _register(self) -> "ModelVersion":
        """Store the model in a run of its own and make its version, which has its tags as soon as it is there."""
        client, candidate = self.store.client, self.candidate
        with tempfile.TemporaryDirectory() as folder:
            manifest = write_model_folder(candidate.files, Path(folder) / FOLDER)
            tags = {**candidate.tags, MANIFEST_TAG: manifest}
            marks = mark(PROMOTE, self.model)
            run = client.create_run(self.store.experiment, run_name=f"promote {self.model}", tags=marks | tags)
            client.log_artifacts(run.info.run_id, str(Path(folder) / FOLDER), FOLDER)
        about = candidate.files[CARD].read_text(encoding="utf-8")
        source = f"{run.info.artifact_uri}/{FOLDER}"
        made = client.create_model_version(self.model, source, run.info.run_id, tags=tags, description=about)
        client.set_terminated(run.info.run_id, "FINISHED")
        # Two promotions of one student may both get here: the first version stays.
        first = self._found()
        if first is not None and first.version != made.version:
            leftovers.remove_version(self.store, self.model, str(made.version))
            client.delete_run(run.info.run_id)
            return first
        return made

    def _require_stored(self, version: "ModelVersion", ledger: Ledger) -> str:
        """The SHA-256 of the version's SHA256SUMS, once what is stored was read again and is this candidate.

        A version may lie there for long before it is promoted, and a tag that says what it is can be set by anybody.
        """
        number = str(version.version)
        manifest = registered_sums(ledger, number, version.tags) or "none"
        with tempfile.TemporaryDirectory() as folder:
            got = fetch(self.store, version, Path(folder))
            wrong = changed_files(got, manifest) or self._other_files(got)
        if wrong:
            listed = "\n  ".join(wrong)
            raise UserError(f"{self.model} version {number}: not promoted: its files are not those of the student at "
                            f"hand; delete that version and promote again\n  {listed}", GATE_FAILED)  # fmt: skip
        return manifest

    def _other_files(self, got: Registered) -> list[str]:
        digests = self.candidate.digests
        return [f"{name}: another file" for name in digests if name not in got.files or
                sha256(got.files[name]) != digests[name]]  # fmt: skip

    def _champion(self, ledger: Ledger) -> str | None:
        """The champion to be compared with: none when it was deleted, and there is none to go back to either."""
        there = {str(version.version) for version in versions(self.store, self.model)}
        if ledger.champion is None or ledger.champion in there:
            return ledger.champion
        if (former := ledger.before(there)) is not None:
            raise UserError(f"{self.model}: version {ledger.champion}, the champion, was deleted from the registry; "
                            f"`understudy registry rollback` to version {former} first, so that there is one to "
                            "compare with")  # fmt: skip
        return None

    def _measure(self, champion: str | None, ledger: Ledger, ledgers: LedgerStore) -> Mapping[str, Any]:
        """Student and champion, anew; empty when there is nothing to compare."""
        if champion is None or not self._bound():
            return {}
        from understudy.remeasure import Files, measure, require_data

        verdict, made = self.candidate.verdict, ledger.promoted(champion)
        require_data(self.root, verdict.data_sha256, verdict.judge_sha256, "the student")
        with tempfile.TemporaryDirectory() as folder:
            theirs = fetch(self.store, version_of(self.store, self.model, champion), Path(folder))
            if wrong := changed_files(theirs, made.manifest_sha256 if made else None):
                listed = "\n  ".join(wrong)
                raise UserError(f"{self.model}: the files of version {champion}, the champion, are not those that were "
                                "promoted, so nothing can be compared with it; `understudy registry rollback`\n  "
                                f"{listed}", GATE_FAILED)  # fmt: skip
            if made and (doubts := ledgers.doubts(ledger, made, Judged.read(theirs.files["verdict"]))):
                listed = "\n  ".join(doubts)
                raise UserError(f"{self.model}: nothing shows that version {champion}, the champion, met its gate, so "
                                "nothing is compared with it; `understudy registry rollback`\n  "
                                f"{listed}", GATE_FAILED)  # fmt: skip
            print(f"measuring version {champion}, the champion, and the student anew", flush=True)
            students = {
                "student": Files(*(self.candidate.files[name] for name in NETWORK)),
                "champion": Files(*(theirs.files[name] for name in NETWORK)),
            }
            return measure(self.root, self.scoring, students)

    def _decide(self, champion: str | None, measured: Mapping[str, Any]) -> Decision:
        if champion is None:
            first = "there is no champion yet: the bounds against it do not apply to a first student"
            return Decision(True, (), (first,) if self._bound() else ())
        if not self._bound():
            return Decision(True, (), ("the policy says nothing about the champion: the two were not compared",))
        return against(self.gate, self.candidate.evaluation, measured)

    def _bound(self) -> bool:
        """Whether the policy has rules about the champion."""
        return any(rule in AWAITING for rules in self.gate.policy.values() for rule in rules)

    def _record(
        self, version: str, action: Action, champion: str | None, decision: Decision, measured: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Everything that was considered, for the ledger and the version."""
        verdict = self.candidate.verdict
        return {
            "model": self.model,
            "version": version,
            "action": action,
            "champion": champion,
            "reasons": list(decision.reasons),
            "notes": list(decision.notes),
            "policy": verdict.policy,
            "rules": [asdict(finding) for finding in (*verdict.rules, *decision.findings)],
            "metrics": verdict.metrics,
            "measured": measured,
            "verdict_sha256": self.candidate.tags["verdict_sha256"],
            **signed(),
        }
