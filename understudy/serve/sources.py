"""Where a served network comes from: a registered version, which may change, or a folder of artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from understudy.errors import UserError
from understudy.export.record import FILES as EXPORTED
from understudy.files import sha256
from understudy.gate import DATASET
from understudy.graph import NETWORKS

REGISTERED = "models:/"


@dataclass(frozen=True)
class Found:
    """A stored network. files: arch, weights, dataset, and maybe onnx, int8, verdict. tags: of the registry."""

    model: str
    version: str
    files: Mapping[str, Path]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Meaning:
    """What an address means now. doubt: what is not as it should be though that version is to be served, or empty."""

    version: str
    doubt: str = ""


class Source(Protocol):
    """address: as the user named it. moves: whether it may come to mean another version."""

    address: str
    moves: bool

    def meaning(self) -> Meaning:
        """Raises UserError when the address means nothing, nothing that may be served, or cannot be asked."""

    def fetch(self, version: str, folder: Path) -> Found:
        """The files of a version, in `folder` or where they lie. Raises UserError when they cannot be had."""


class RegisteredSource:
    """`models:/NAME@ALIAS` or `models:/NAME/VERSION`, in the store of `root`. Who is champion, the ledger says."""

    def __init__(self, root: Path, address: str) -> None:
        self.root, self.address = root, address
        self.moves = "@" in address
        self._by_ledger = False  # whether a ledger has ever said what it means

    def meaning(self) -> Meaning:
        from understudy.adapters.followed import followed

        found = followed(self.root, self.address)
        if self._by_ledger and not found.by_ledger:
            raise UserError(f"{self.address}: the ledger that said who is champion is gone from the registry")
        self._by_ledger = found.by_ledger
        return Meaning(found.version, found.doubt)

    def fetch(self, version: str, folder: Path) -> Found:
        from understudy.adapters.followed import fetch_followed

        got = fetch_followed(self.root, self.address, version, folder)
        return Found(got.model, got.version, got.files, got.tags)


class FolderSource:
    """One of the networks that the stages made in `root`, as it is when the server starts."""

    moves = False

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.address = root, name
        folder = root / "artifacts" / NETWORKS[name]
        self.files = {
            "arch": folder / "arch.json",
            "weights": folder / "weights.safetensors",
            "dataset": root / DATASET,
        }
        if name == "student":
            self.files |= {form: root / file for form, file in EXPORTED.items() if (root / file).is_file()}

    def meaning(self) -> Meaning:
        return Meaning(sha256(self.files["weights"])[:12])

    def fetch(self, version: str, folder: Path) -> Found:
        return Found(self.address, version, self.files)


def source(root: Path, address: str) -> Source:
    """Of the address that a user gave. Raises UserError for another."""
    if address.startswith(REGISTERED):
        return RegisteredSource(root, address)
    if address not in NETWORKS:
        raise UserError(f"{address}: expected {', '.join(NETWORKS)} or {REGISTERED}NAME@ALIAS")
    return FolderSource(root, address)
