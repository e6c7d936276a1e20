"""The model registry as it is read: a model's versions, their aliases, and their files."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from understudy import checksums
from understudy import verdict as verdicts
from understudy.adapters.mlflow import ABSENT, DATABASE, Store, connect, downloaded, is_absent
from understudy.errors import UserError, in_one_line
from understudy.export.record import FILES as EXPORTED
from understudy.export.record import RECORD
from understudy.files import sha256
from understudy.gate import DATASET, EVALUATION, STUDENT
from understudy.ledger import Ledger

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# By name inside the model: what the student is, and what was found of it. An export record is there if exports are.
NETWORK = dict(zip(("arch", "weights", "dataset"), (*STUDENT, DATASET), strict=True))
FOUND = {"verdict": verdicts.PATH, "evaluation": EVALUATION, "export": RECORD}
CARD = "card"  # card.md
CHAMPION, CHALLENGER = "champion", "challenger"
METRIC_TAG = "metric."
MANIFEST_TAG = "manifest_sha256"  # of a version: of its SHA256SUMS
VERDICT_TAG = "verdict_sha256"  # of a version
IDENTITY_TAG = "identity"  # of a version: by which the same student under the same verdict is found again
EXPORTS_TAG, NO_EXPORTS = "exports", "none"


class Absent(UserError):
    """A version, or what is stored of it, is not there: asking again changes nothing."""


@dataclass(frozen=True)
class Registered:
    """One version, downloaded.

    folder: everything that MLflow stores of it. files: by name, those of NETWORK, FOUND and CARD, and the exported
    formats. tags: as MLflow has them.
    """

    model: str
    version: str
    tags: Mapping[str, str]
    folder: Path
    files: Mapping[str, Path]


@contextmanager
def registry(root: Path) -> Iterator[Store]:
    """The store of `root`, reached. Whatever it answers within the block that is no answer becomes one UserError."""
    try:
        store = connect(root)
    except ImportError as error:
        raise UserError(f"the registry needs MLflow ({error}); `pip install understudy[ops]`") from error
    except UserError:
        raise
    except Exception as error:  # every kind of store fails in its own way
        where = os.environ.get("MLFLOW_TRACKING_URI") or f"{root / DATABASE}"
        raise UserError(f"the registry at {where} cannot be reached: {in_one_line(error)}") from error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    failures = (MlflowException, RequestException, SQLAlchemyError, BotoCoreError, ClientError)
    try:
        yield store
    except failures as error:
        raise UserError(f"the registry at {store.uri} failed: {in_one_line(error)}; nothing is half done that the same "
                        "command will not finish: run it again") from error  # fmt: skip


def versions(store: Store, model: str) -> list["ModelVersion"]:
    """All versions of a model, by number. Empty where there is no such model."""
    found: list[ModelVersion] = []
    page: str | None = ""
    while page is not None:
        some = store.client.search_model_versions(f"name = '{model}'", page_token=page or None)
        found += some
        page = some.token or None
    return sorted(found, key=lambda version: int(version.version))


def version_of(store: Store, model: str, number: str) -> "ModelVersion":
    """A version by its number. Raises Absent when it is not there, or not any more."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version(model, number)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        raise Absent(f"{model}: version {number} is not in the registry, or was deleted; `understudy registry list` "
                     "shows what is there") from error  # fmt: skip


def aliases(store: Store, model: str) -> dict[str, str]:
    """The number of the version that each alias is of. Empty where there is no such model."""
    found = store.client.search_registered_models(f"name = '{model}'")
    return {alias: str(version) for alias, version in found[0].aliases.items()} if found else {}


def download(root: Path, address: str, folder: Path) -> Registered:
    """Bring `models:/NAME@ALIAS` or `models:/NAME/VERSION` into `folder`. Raises UserError when there is none."""
    parse_address(address)
    with registry(root) as store:
        return fetch(store, version_of(store, *meant(store, address)), folder)


def meant(store: Store, address: str) -> tuple[str, str]:
    """The model, and the number of the version that an address means now."""
    name, alias, version = parse_address(address)
    number = aliases(store, name).get(alias) if alias else version
    if number is None:
        raise UserError(f"{address}: not found in {store.uri}; `understudy registry promote` registers")
    return name, number


def parse_address(address: str) -> tuple[str, str | None, str | None]:
    """NAME, ALIAS and VERSION of `models:/NAME@ALIAS` or `models:/NAME/VERSION`; one of the last two is None."""
    match = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", address)
    if match is None:
        raise UserError(f"{address}: expected models:/NAME@ALIAS or models:/NAME/VERSION")
    name, alias, version = match.groups()
    return name, alias, version


def fetch(store: Store, version: "ModelVersion", folder: Path) -> Registered:
    """Bring everything that is stored of a version into `folder`.

    Raises Absent when nothing of ours is stored, UserError when it cannot be had now.
    """
    from mlflow.exceptions import MlflowException

    subject = f"{version.name} version {version.version}"
    try:
        got = downloaded(store, str(version.source), folder)
        stored = sorted((got / "artifacts").iterdir())
    except (MlflowException, OSError) as error:
        if is_absent(error):
            raise Absent(f"{subject}: its files are gone from {version.source}, or were not registered by "
                         "understudy") from error  # fmt: skip
        raise UserError(f"{subject}: its files at {version.source} cannot be read: {in_one_line(error)}; where the "
                        "store was busy or down, run it again") from error  # fmt: skip
    named = {Path(path).name: name for name, path in {**NETWORK, **FOUND, **EXPORTED}.items()}
    files = {named.get(path.name, path.stem): path for path in stored}
    return Registered(version.name, str(version.version), dict(version.tags), got, files)


def registered_sums(ledger: Ledger, version: str, tags: Mapping[str, str]) -> str | None:
    """The SHA-256 of a version's SHA256SUMS: by the ledger's last entry of it or, where there is none, by its tag."""
    entry = ledger.last(version)
    return entry.manifest_sha256 if entry else tags.get(MANIFEST_TAG)


def changed_files(got: Registered, manifest_sha256: str | None) -> list[str]:
    """What tells the files of a version from those that were registered. manifest_sha256: of its SHA256SUMS then."""
    sums = got.folder / checksums.NAME
    if not sums.is_file() or sha256(sums) != manifest_sha256:
        return [f"{checksums.NAME}: is gone or was changed"]
    wrong = checksums.wrong_sums(got.folder)
    missing = [f"{name}: missing" for name in (*NETWORK, "verdict", "evaluation") if name not in got.files]
    return wrong or missing
