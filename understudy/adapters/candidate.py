"""A student that may be registered: its files, held still and hashed, beside a verdict that is judged again."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy import verdict as verdicts
from understudy.adapters.registry import (
    CARD,
    EXPORTS_TAG,
    FOUND,
    IDENTITY_TAG,
    METRIC_TAG,
    NETWORK,
    NO_EXPORTS,
)
from understudy.card import card
from understudy.errors import GATE_FAILED, UserError
from understudy.export.record import RECORD
from understudy.files import read_json, sha256, write_text
from understudy.lineage import lineage
from understudy.params.gate import Gate
from understudy.promotion import Decision, eligible, shippable
from understudy.rejudging import judge_again


@dataclass(frozen=True)
class Candidate:
    """A student that may be registered.

    files: copies, by their names inside the model. digests: their SHA-256. identity: of student and verdict together.
    tags: all that its version will have, but for the checksum of checksums. notes: on its exports.
    """

    files: Mapping[str, Path]
    digests: Mapping[str, str]
    verdict: verdicts.Verdict
    evaluation: Mapping[str, Any]
    identity: str
    tags: Mapping[str, str]
    notes: tuple[str, ...]


def read_candidate(root: Path, model: str, gate: Gate, folder: Path) -> Candidate:
    """The student in `root`, its files copied into `folder`. Raises UserError when it may not be registered."""
    verdict = verdicts.read_verdict(root / verdicts.PATH)
    # What is hashed must be what is registered, whatever happens to the originals meanwhile.
    wanted = {**NETWORK, **{name: path for name, path in FOUND.items() if path != RECORD or verdict.exports}}
    files = {name: Path(shutil.copy(_present(root / path), folder)) for name, path in wanted.items()}
    digests = {name: sha256(path) for name, path in files.items()}
    evaluation = read_json(files["evaluation"])
    doubt = _doubt(verdict, evaluation, digests["evaluation"], files, gate.source)
    judged = {path: digests[name] for name, path in NETWORK.items()}
    require(eligible(verdict, doubt, gate, judged, digests["evaluation"]), model)
    exports, left_out = _exports(root, verdict, folder)
    digests |= {name: sha256(path) for name, path in exports.items()}
    dataset, origin = read_json(files["dataset"]), lineage(root)
    family = read_json(files["arch"])["family"]
    about = folder / f"{CARD}.md"
    write_text(about, card(model, verdict, evaluation, dataset, family, tuple(exports), origin))
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
    return Candidate({**files, **exports, CARD: about}, digests, verdict, evaluation, identity, tags, left_out)


def _doubt(
    verdict: verdicts.Verdict, evaluation: Any, digest: str, files: Mapping[str, Path], source: str
) -> str | None:
    """Why the verdict is not to be believed, or None when the gate says the same by the verdict's policy."""
    record = read_json(files["export"]) if "export" in files else None
    try:
        judge_again(Gate(verdict.policy, source), evaluation, digest, record, verdict)
    except UserError as error:
        return str(error)
    return None


def require(decision: Decision, subject: str) -> None:
    """Raise UserError with code GATE_FAILED and every reason of a decision against."""
    if not decision.promote:
        listed = "\n  ".join(decision.reasons)
        raise UserError(f"{subject}: not promoted:\n  {listed}", GATE_FAILED)


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
