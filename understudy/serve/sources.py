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
SHA256_TAG = "{}_sha256"  # of a registered version, by the name of a file


@dataclass(frozen=True)
class Found:
    """A stored network. files: arch, weights, dataset, and maybe onnx, int8, verdict. tags: of the registry."""

    model: str
    version: str
    files: Mapping[str, Path]
    tags: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """address: as the user named it. moves: whether it may come to mean another version."""

    address: str
    moves: bool

    def version(self) -> str:
        """What the address means now. Raises UserError when it means nothing, or cannot be asked."""

    def fetch(self, folder: Path) -> Found:
        """Its files, in `folder` or where they lie. Raises UserError when they cannot be had."""


class RegisteredSource:
    """`models:/NAME@ALIAS` or `models:/NAME/VERSION`, in the store of `root`."""

    def __init__(self, root: Path, address: str) -> None:
        self.root, self.address = root, address
        self.moves = "@" in address

    def version(self) -> str:
        from understudy.adapters.registry import resolve

        return resolve(self.root, self.address)

    def fetch(self, folder: Path) -> Found:
        from understudy.adapters.registry import download

        registered = download(self.root, self.address, folder)
        for name, path in registered.files.items():
            promised = registered.tags.get(SHA256_TAG.format(name))
            if promised and sha256(path) != promised:
                raise UserError(f"{self.address}: its file {path.name} is not the one that was promoted "
                                f"(SHA-256 {sha256(path)[:12]}…, its tag says {promised[:12]}…)")  # fmt: skip
        return Found(registered.model, registered.version, registered.files, registered.tags)


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

    def version(self) -> str:
        return sha256(self.files["weights"])[:12]

    def fetch(self, folder: Path) -> Found:
        return Found(self.address, self.version(), self.files)


def source(root: Path, address: str) -> Source:
    """Of the address that a user gave. Raises UserError for another."""
    if address.startswith(REGISTERED):
        return RegisteredSource(root, address)
    if address not in NETWORKS:
        raise UserError(f"{address}: expected {', '.join(NETWORKS)} or {REGISTERED}NAME@ALIAS")
    return FolderSource(root, address)
