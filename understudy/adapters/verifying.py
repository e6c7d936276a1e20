"""Whether a registered version is what was promoted: its files, its verdict, its numbers, the ledger and the alias."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from understudy import verdict as verdicts
from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.measured_again import measured_again
from understudy.adapters.mlflow import Store
from understudy.adapters.origin import origin
from understudy.adapters.registry import (
    CHAMPION,
    METRIC_TAG,
    NETWORK,
    VERDICT_TAG,
    Absent,
    Registered,
    aliases,
    changed_files,
    fetch,
    registered_sums,
    registry,
    version_of,
    versions,
)
from understudy.adapters.registry_views import find
from understudy.errors import UserError
from understudy.export.record import FILES as EXPORTED
from understudy.files import read_json, sha256
from understudy.founded import MALFORMED, Judged
from understudy.gate import EVALUATION, STUDENT_MODEL, judge
from understudy.ledger import Ledger
from understudy.params.gate import Gate
from understudy.params.registry import Registry
from understudy.params.scoring import Scoring
from understudy.promotion import changed_rules, invented
from understudy.rejudging import judge_again

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

FILES = "its files are those that were registered"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. wrong: what is not as it should be, each in a sentence; empty: all is well."""

    what: str
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """Of one version. unmeasured: why it could not be measured anew, or None when it was. notes: worth knowing."""

    model: str
    version: str
    checks: tuple[Check, ...]
    unmeasured: str | None
    notes: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong with what was looked at."""
        return not any(check.wrong for check in self.checks)


def verify(root: Path, asked: Registry, gate: Gate, scoring: Scoring, version: str | None) -> Verification:
    """Download a version again, recompute its hashes and its verdict, and measure it anew with ROOT's data and judge.

    version: its number, an alias or a commit; None: the ledger's champion, whatever the alias says. gate: the policy as
    it is now. Nothing is changed. Raises UserError when there is no such version.
    """
    with registry(root) as store:
        ledgers = LedgerStore.open(store, asked.model)
        ledger, damaged = _ledger(store, asked.model, ledgers)
        alias = aliases(store, asked.model).get(CHAMPION)
        number = str(find(store, asked.model, version).version) if version else ledger.champion or alias
        if number is None:
            raise UserError(f"{asked.model} has no champion; name a version")
        checks = [Check("the ledger is whole", damaged)]
        if version is None or number in (alias, ledger.champion):
            said = ledger.displaced(alias)
            checks.append(Check("the alias champion is the ledger's champion", (said,) if said else ()))
        with tempfile.TemporaryDirectory() as folder:
            try:
                got = fetch(store, version_of(store, asked.model, number), Path(folder))
            except Absent as error:
                checks.append(Check(FILES, (str(error),)))
                return Verification(asked.model, number, tuple(checks), None, ())
            checks.append(Check(FILES, tuple(_files(got, ledger))))
            try:
                checks.append(Check("its verdict follows from its evaluation and speaks of its files",
                                    tuple(_verdict(got))))  # fmt: skip
                checks.append(Check("its promotion was decided by that verdict",
                                    tuple(_promoted(store, ledgers, ledger, got))))  # fmt: skip
                misled, unseen = origin(root, got)
                checks.append(Check("its data, its judge and its dvc.lock are those that its tags name", misled))
                again = measured_again(root, scoring, got)
                unmeasured = again.unmeasured
                if unmeasured is None:
                    checks.append(Check("its evaluation comes out again", again.evaluation))
                if again.exports is not None:
                    checks.append(Check("its exported files give the student's photos", again.exports))
                notes = (*unseen, *again.notes, *_notes(got, gate))
            except (UserError, *MALFORMED) as error:
                checks.append(Check("it can be judged again", (f"{type(error).__name__}: {error}",)))
                unmeasured, notes = None, ()
            return Verification(asked.model, number, tuple(checks), unmeasured, notes)


def champion(root: Path, model: str) -> "ModelVersion | None":
    """The version that is verified where none is named; None when it is not there."""
    with registry(root) as store:
        try:
            number = LedgerStore.open(store, model).read().champion
        except UserError:
            number = None
        number = number or aliases(store, model).get(CHAMPION)
        try:
            return version_of(store, model, number) if number else None
        except Absent:
            return None


def _ledger(store: Store, model: str, ledgers: LedgerStore) -> tuple[Ledger, tuple[str, ...]]:
    """The ledger, and what is wrong with it; an empty one when it cannot be read at all."""
    try:
        ledger = ledgers.read()
    except UserError as error:
        return Ledger(()), (str(error),)
    tags = {str(one.version): one.tags for one in versions(store, model)}
    wrong = ledgers.problems(ledger)
    for entry in ledger.entries:
        wrong += ledgers.doubts(ledger, entry, Judged(tags.get(entry.version, {}).get(VERDICT_TAG)))
    return ledger, tuple(dict.fromkeys(wrong))


def _promoted(store: Store, ledgers: LedgerStore, ledger: Ledger, got: Registered) -> list[str]:
    """What speaks against its promotion, with its verdict and its evaluation at hand."""
    entry = ledger.promoted(got.version)
    if entry is None:
        return []
    if doubts := ledgers.doubts(ledger, entry, Judged.read(got.files["verdict"])):
        return doubts
    own = {STUDENT_MODEL: read_json(got.files["evaluation"])["models"][STUDENT_MODEL]}
    theirs = {str(one.version): one.tags for one in versions(store, got.model)}.get(entry.replaces, {})
    if all(theirs.get(name) == got.tags.get(name) for name in ("data_sha256", "judge_sha256")):
        own["champion"] = {name.removeprefix(METRIC_TAG): {"value": float(value)}
                           for name, value in theirs.items() if name.startswith(METRIC_TAG)}  # fmt: skip
    return invented(ledgers.decision(entry), own)


def _files(got: Registered, ledger: Ledger) -> Iterator[str]:
    yield from changed_files(got, registered_sums(ledger, got.version, got.tags))
    for name, path in got.files.items():
        tag = got.tags.get(f"{name}_sha256")
        if tag is not None and tag != sha256(path):
            yield f"{path.name}: is not what the version's tag {name}_sha256 says"


def _verdict(got: Registered) -> Iterator[str]:
    """What shows that a verdict is forged or stale: it is judged again, from the evaluation beside it."""
    verdict = verdicts.read_verdict(got.files["verdict"])
    evaluation = read_json(got.files["evaluation"])
    record = read_json(got.files["export"]) if "export" in got.files else None
    if not verdict.passed:
        yield "it did not pass"
    if verdict.evaluation_sha256 != sha256(got.files["evaluation"]):
        yield f"it is about another {EVALUATION}"
    try:
        judge_again(Gate(verdict.policy, "its policy"), evaluation, sha256(got.files["evaluation"]), record, verdict)
    except UserError as error:
        yield str(error)
    for name, path in NETWORK.items():
        if verdict.files.get(path) != sha256(got.files[name]):
            yield f"it is about another {path}"
    for name, export in verdict.exports.items():
        if name in got.files and (not export.passed or export.sha256 != sha256(got.files[name])):
            yield f"{EXPORTED[name]} is not an exported file that passed"
    tagged = {name.removeprefix(METRIC_TAG): value for name, value in got.tags.items() if name.startswith(METRIC_TAG)}
    if tagged != {name: repr(value) for name, value in verdict.metrics.items()}:
        yield "the metrics in the version's tags are not its own"


def _notes(got: Registered, gate: Gate) -> Iterator[str]:
    """Whether the policy as it is now would say the same."""
    verdict = verdicts.read_verdict(got.files["verdict"])
    changed = changed_rules(verdict.policy, gate.policy)
    if not changed:
        return
    try:
        now = judge(gate, read_json(got.files["evaluation"]), sha256(got.files["evaluation"]))
    except UserError as error:
        yield f"by the policy as it is now it cannot be judged: {error}"
        return
    listed = ", ".join(f"{gate.source}.{rule}" for rule in changed)
    yield f"the policy has changed since ({listed}); by it this version {'passes' if now.passed else 'would fail'}"
    yield from (f"  {failure}" for failure in now.failures())
