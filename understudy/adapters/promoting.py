"""From a verdict that passed to the alias `champion`, and back.

The order is what makes it safe to kill at any moment, and to run many times at once:

1. The student's files are copied, hashed, and compared with its verdict; a refusal here touches no registry.
2. The files are stored, then the version is made, with all its tags at once; it becomes `challenger`.
3. It is decided against the present champion, both measured anew, and the decision is appended to the ledger, which
   takes it only if nothing else was appended since the ledger was read. Otherwise this step is done again.
4. Aliases and tags are made to say what the ledger says.

Whoever comes next does step 4 for those who were killed before it, and removes what they left at step 2.
"""

import getpass
import hashlib
import json
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from understudy import verdict as verdicts
from understudy.adapters import leftovers
from understudy.adapters.ledger_store import LedgerStore, digest
from understudy.adapters.mlflow import Store
from understudy.adapters.model_folder import write_model_folder
from understudy.adapters.registry import (
    CARD,
    CHALLENGER,
    EXPORTS_TAG,
    FOUND,
    IDENTITY_TAG,
    MANIFEST_TAG,
    METRIC_TAG,
    NETWORK,
    NO_EXPORTS,
    fetch,
    registry,
    versions,
)
from understudy.adapters.run_marks import PROMOTE, mark
from understudy.card import card
from understudy.checksums import NAME as SUMS
from understudy.checksums import wrong_sums
from understudy.errors import GATE_FAILED, UserError
from understudy.export.record import RECORD
from understudy.files import read_json, sha256, write_text
from understudy.ledger import FIRST, Action, Entry, Ledger
from understudy.lineage import lineage
from understudy.locks import held
from understudy.params.gate import AWAITING, Gate
from understudy.params.registry import Registry
from understudy.params.scoring import Scoring
from understudy.promotion import Decision, against, eligible, shippable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

FOLDER = "student"  # of the model among its run's artifacts
ATTEMPTS = 5
Done = TypeVar("Done")


@dataclass(frozen=True)
class Promotion:
    """version: now champion. registered: whether it is new. replaced: the version that was champion before, or None."""

    model: str
    version: str
    registered: bool
    replaced: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A student that may be registered.

    files: copies, by their names inside the model. identity: of student and verdict together. tags: all that its
    version will have, but for the checksum of checksums. notes: on its exports.
    """

    files: Mapping[str, Path]
    verdict: verdicts.Verdict
    evaluation: Mapping[str, Any]
    identity: str
    tags: Mapping[str, str]
    notes: tuple[str, ...]


def promote(root: Path, asked: Registry, gate: Gate, scoring: Scoring, again: bool = False) -> Promotion:
    """Register the student in `root` and make it champion, if its verdict and the champion allow it.

    gate: the policy as it is now; a verdict by another one is out of date. scoring: how the champion is measured.
    again: promote a version even though it was rolled back from. A student that passed its gate and is worse than the
    champion allows stays registered, as challenger. Raises UserError with code GATE_FAILED and every reason when it is
    refused, DATA_FAILED without a readable verdict.
    """
    with tempfile.TemporaryDirectory() as folder:
        candidate = _candidate(root, asked.model, gate, Path(folder))
        with registry(root) as store, _alone(root, store):
            return _repeated(lambda: _promote(root, store, asked.model, gate, scoring, candidate, again))


def rollback(root: Path, asked: Registry, to: str | None, reason: str) -> Promotion:
    """Make a former champion champion again: version `to`, or the one before the present champion.

    It met its gate when it was promoted, and its files must be those of then. Raises UserError when there is no such
    version, or somebody else changed the champion meanwhile.
    """
    with registry(root) as store, _alone(root, store):
        ledgers = LedgerStore.open(store, asked.model)
        leftovers.settle(store, asked.model, ledgers)
        ledger = ledgers.read()
        target = _former(ledger, asked.model, to)
        version = _version(store, asked.model, target.version)
        if wrong := _changed_files(store, version, target.manifest_sha256):
            listed = "\n  ".join(wrong)
            raise UserError(f"{asked.model} version {target.version}: its files are not those that were promoted:\n  "
                            f"{listed}", GATE_FAILED)  # fmt: skip
        decision = {"model": asked.model, "version": target.version, "action": "rolled back", "reason": reason,
                    "champion": ledger.champion, **_now()}  # fmt: skip
        if not ledgers.append(_entry(ledger, "rolled back", version, decision, reason), decision):
            raise UserError(f"{asked.model}: the champion was changed by somebody else just now; look at "
                            "`understudy registry show champion` and decide again")  # fmt: skip
        _repeated(lambda: leftovers.settle(store, asked.model, ledgers))
        return Promotion(asked.model, target.version, False, ledger.champion, ())


def _repeated(work: Callable[[], Done]) -> Done:
    """Do it again when the store broke off, a few times: MLflow does so where two write at once, and every step of ours
    may be done twice."""
    from mlflow.exceptions import MlflowException

    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except MlflowException as error:
            if error.error_code != "INTERNAL_ERROR":
                raise
            time.sleep(attempt * random.uniform(0.1, 0.5))
    return work()


def _candidate(root: Path, model: str, gate: Gate, folder: Path) -> Candidate:
    """The student in `root`, its files copied into `folder`. Raises UserError when it may not be registered."""
    verdict = verdicts.read_verdict(root / verdicts.PATH)
    # What is hashed must be what is registered, whatever happens to the originals meanwhile.
    wanted = {**NETWORK, **{name: path for name, path in FOUND.items() if path != RECORD or verdict.exports}}
    files = {name: Path(shutil.copy(_present(root / path), folder)) for name, path in wanted.items()}
    digests = {name: sha256(path) for name, path in files.items()}
    judged = {path: digests[name] for name, path in NETWORK.items()}
    _require(eligible(verdict, gate, judged, digests["evaluation"]), model)
    exports, left_out = _exports(root, verdict, folder)
    digests |= {name: sha256(path) for name, path in exports.items()}
    evaluation, dataset = read_json(files["evaluation"]), read_json(files["dataset"])
    origin = lineage(root)
    write_text(
        folder / f"{CARD}.md",
        card(model, verdict, evaluation, dataset, read_json(files["arch"])["family"], tuple(exports), origin),
    )
    hashes = {f"{name}_sha256": digest for name, digest in digests.items()}
    identity = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
    tags = {
        **origin,
        **hashes,
        IDENTITY_TAG: identity,
        EXPORTS_TAG: ", ".join(exports) or NO_EXPORTS,
        "data_sha256": verdict.data_sha256,
        "judge_sha256": verdict.judge_sha256,
        **{f"{METRIC_TAG}{name}": repr(value) for name, value in verdict.metrics.items()},
    }
    files |= {**exports, CARD: folder / f"{CARD}.md"}
    return Candidate(files, verdict, evaluation, identity, tags, left_out)


def _promote(
    root: Path,
    store: Store,
    model: str,
    gate: Gate,
    scoring: Scoring,
    candidate: Candidate,
    again: bool,
) -> Promotion:
    ledgers = LedgerStore.create(store, model)
    for said in leftovers.settle(store, model, ledgers):
        print(f"{model}: {said}", flush=True)
    version = _found(store, model, candidate.identity)
    new = version is None
    version = version or _register(store, model, candidate)
    number = str(version.version)
    measured: dict[str | None, Mapping[str, Any]] = {}  # by champion: who loses the race measures no champion twice
    while True:
        ledger = ledgers.read()
        if ledger.champion == number:
            leftovers.settle(store, model, ledgers)
            return Promotion(model, number, new, None, ("this student is the champion already", *candidate.notes))
        if (withdrawn := ledger.withdrawn(number)) and not again:
            raise UserError(f"{model} version {number}: not promoted: {withdrawn.by} rolled back from it on "
                            f"{withdrawn.at} ({withdrawn.reason or 'no reason given'}); --again promotes it all the "
                            "same", GATE_FAILED)  # fmt: skip
        store.client.set_registered_model_alias(model, CHALLENGER, number)
        if ledger.champion not in measured:
            measured[ledger.champion] = _measure(root, store, model, gate, scoring, candidate, ledger.champion)
        numbers = measured[ledger.champion]
        decision = _decide(gate, candidate, ledger.champion, numbers)
        record = _record(model, number, candidate, ledger.champion, decision, numbers)
        action: Action = "promoted" if decision.promote else "refused"
        last = ledger.last(number)
        if action == "refused" and last and (last.action, last.replaces) == ("refused", ledger.champion):
            break  # said before, of the same two
        if ledgers.append(_entry(ledger, action, version, record, ""), record):
            break
    leftovers.settle(store, model, ledgers)
    _require(decision, f"{model} version {number} stays challenger")
    return Promotion(model, number, new, ledger.champion, (*decision.notes, *candidate.notes))


def _decide(gate: Gate, candidate: Candidate, champion: str | None, measured: Mapping[str, Any]) -> Decision:
    bound = any(rule in AWAITING for rules in gate.policy.values() for rule in rules)
    if champion is None:
        notes = ("there is no champion yet: the bounds against it do not apply to a first student",) if bound else ()
        return Decision(True, (), notes)
    if not bound:
        return Decision(True, (), ("the policy says nothing about the champion: the two were not compared",))
    return against(gate, candidate.evaluation, measured)


def _measure(
    root: Path,
    store: Store,
    model: str,
    gate: Gate,
    scoring: Scoring,
    candidate: Candidate,
    champion: str | None,
) -> Mapping[str, Any]:
    """Student and champion, anew; empty when there is nothing to compare."""
    if champion is None or not any(rule in AWAITING for rules in gate.policy.values() for rule in rules):
        return {}
    from understudy.remeasure import Files, measure, require_data

    verdict = candidate.verdict
    require_data(root, verdict.data_sha256, verdict.judge_sha256, "the student")
    with tempfile.TemporaryDirectory() as folder:
        theirs = fetch(store, _version(store, model, champion), Path(folder)).files
        print(f"measuring version {champion}, the champion, and the student anew", flush=True)
        students = {
            "student": Files(*(candidate.files[name] for name in NETWORK)),
            "champion": Files(*(theirs[name] for name in NETWORK)),
        }
        return measure(root, scoring, students)


def _register(store: Store, model: str, candidate: Candidate) -> "ModelVersion":
    """Store the model in a run of its own and make its version, which has its tags as soon as it is there."""
    client = store.client
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_model_folder(candidate.files, Path(folder) / FOLDER)
        tags = {**candidate.tags, MANIFEST_TAG: manifest}
        run = client.create_run(store.experiment, run_name=f"promote {model}", tags=mark(PROMOTE, model) | tags)
        client.log_artifacts(run.info.run_id, str(Path(folder) / FOLDER), FOLDER)
    about = candidate.files[CARD].read_text(encoding="utf-8")
    source = f"{run.info.artifact_uri}/{FOLDER}"
    made = client.create_model_version(model, source, run.info.run_id, tags=tags, description=about)
    client.set_terminated(run.info.run_id, "FINISHED")
    # Two promotions of one student may both get here: the first version stays.
    first = _found(store, model, candidate.identity)
    if first is not None and first.version != made.version:
        leftovers.remove_version(store, model, str(made.version))
        client.delete_run(run.info.run_id)
        return first
    return made


def _found(store: Store, model: str, identity: str) -> "ModelVersion | None":
    """The first version of these very files under this very verdict."""
    return next((one for one in versions(store, model) if one.tags.get(IDENTITY_TAG) == identity), None)


def _version(store: Store, model: str, number: str) -> "ModelVersion":
    found = next((version for version in versions(store, model) if str(version.version) == number), None)
    if found is None:
        raise UserError(f"{model}: version {number} has been deleted from the registry; `understudy registry rollback "
                        "--to VERSION` goes back to one that is there")  # fmt: skip
    return found


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


def _changed_files(store: Store, version: "ModelVersion", manifest_sha256: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        got = fetch(store, version, Path(folder)).folder
        if sha256(got / SUMS) != manifest_sha256:
            return [f"{SUMS}: was changed"]
        return wrong_sums(got)


def _entry(ledger: Ledger, action: Action, version: "ModelVersion", decision: Mapping[str, Any], reason: str) -> Entry:
    return Entry(
        number=len(ledger.entries) + 1,
        action=action,
        version=str(version.version),
        replaces=ledger.champion or FIRST,
        manifest_sha256=version.tags[MANIFEST_TAG],
        decision_sha256=digest(decision),
        by=decision["by"],
        at=decision["at"],
        reason=reason,
        previous=ledger.head,
    )


def _record(
    model: str,
    version: str,
    candidate: Candidate,
    champion: str | None,
    decision: Decision,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that was considered, for the ledger and the version."""
    return {
        "model": model,
        "version": version,
        "action": "promoted" if decision.promote else "refused",
        "champion": champion,
        "reasons": list(decision.reasons),
        "notes": list(decision.notes),
        "policy": candidate.verdict.policy,
        "rules": [asdict(finding) for finding in (*candidate.verdict.rules, *decision.findings)],
        "metrics": candidate.verdict.metrics,
        "measured": measured,
        "verdict_sha256": candidate.tags["verdict_sha256"],
        **_now(),
    }


def _now() -> dict[str, str]:
    """Who decides, and when. MLflow's own user name goes first: on a cluster everybody is the same system user."""
    try:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return {"by": f"{user}@{socket.gethostname()}", "at": datetime.now(UTC).isoformat(timespec="seconds")}


@contextmanager
def _alone(root: Path, store: Store) -> Iterator[None]:
    """One process at a time where the store is a file: SQLite has one writer, and the rest give up after a moment."""
    if store.uri.startswith("http"):
        yield
    else:
        with held(root / ".understudy" / "registry.lock"):
            yield


def _present(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: missing; run `dvc repro`")
    return path


def _exports(root: Path, verdict: verdicts.Verdict, folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Copies in `folder` of the exported files that may be registered, by format; and why others may not."""
    copies = {}
    for export in verdict.exports.values():
        if (root / export.file).is_file():
            copies[export.file] = Path(shutil.copy(root / export.file, folder))
    kept, left_out = shippable(verdict, {file: sha256(path) for file, path in copies.items()})
    return {name: copies[file] for name, file in kept.items()}, left_out


def _require(decision: Decision, subject: str) -> None:
    if not decision.promote:
        listed = "\n  ".join(decision.reasons)
        raise UserError(f"{subject}: not promoted:\n  {listed}", GATE_FAILED)
