"""Where a pod's files are. There are no mounts here: a container's paths are rewritten to folders of this machine.

A mount path (/workspaces) or a path of the image (/opt/understudy) is replaced, in the container's command, arguments,
environment and working directory, by the folder that stands for it. A path that is written inside a file, or in the
program, is not; of nested paths the longest counts.
"""

import base64
import re
from pathlib import Path
from typing import Any

from cluster.store import Store, Thing


class Waiting(Exception):
    """A container cannot start yet. reason: what `kubectl get pods` would show."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Paths:
    """folders: what stands for which path of the container."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders
        longest_first = sorted((re.escape(path) for path in folders), key=len, reverse=True)
        # A path begins where none goes on already, or behind the // of an address, and ends at the end of a name.
        self._pattern = re.compile(rf"(?:(?<![\w./-])|(?<=://))({'|'.join(longest_first)})(?![\w.-])")

    def rewrite(self, text: str) -> str:
        return self._pattern.sub(lambda found: self._folders[found[1]], text) if self._folders else text


def folders_of(container: dict[str, Any], volumes: dict[str, Path]) -> dict[str, str]:
    """Of each mount path. The folders are made."""
    folders = {}
    for mount in container.get("volumeMounts") or []:
        folder = volumes[mount["name"]] / mount.get("subPath", "")
        if not folder.is_file():
            folder.mkdir(parents=True, exist_ok=True)
        folders[mount["mountPath"].rstrip("/")] = str(folder)
    return folders


def prepare(store: Store, pod: Thing, folder: Path, claims: Path) -> dict[str, Path]:
    """A folder for each volume, by name, below `folder`; claims outlive the pod, in folders below `claims`."""
    namespace, made = pod["metadata"]["namespace"], {}
    for volume in pod["spec"].get("volumes", []):
        place = made[volume["name"]] = folder / "volumes" / volume["name"]
        if "persistentVolumeClaim" in volume:
            place = made[volume["name"]] = claims / namespace / volume["persistentVolumeClaim"]["claimName"]
        place.mkdir(parents=True, exist_ok=True)
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in sources:
            if "secret" in source or "configMap" in source:
                _write(store, namespace, source, place)
            elif not {"emptyDir", "persistentVolumeClaim"} & source.keys():
                kinds = ", ".join(source.keys() - {"name"})
                raise Waiting("ContainerCreating", f"this test server has no volumes of this kind: {kinds}")
    return made


def content(store: Store, kind: str, namespace: str, name: str) -> dict[str, bytes] | None:
    """What a Secret or ConfigMap holds; None when there is none of this name."""
    thing = store.get(kind, namespace, name)
    if thing is None:
        return None
    encoded = thing.get("binaryData" if kind == "ConfigMap" else "data") or {}
    plain = (thing.get("data") or {}) if kind == "ConfigMap" else {}
    return {key: base64.b64decode(value) for key, value in encoded.items()} | {
        key: value.encode() for key, value in plain.items()
    }


def _write(store: Store, namespace: str, source: dict[str, Any], place: Path) -> None:
    kind = "Secret" if "secret" in source else "ConfigMap"
    said = source["secret"] if kind == "Secret" else source["configMap"]
    name = said.get("secretName") or said.get("name", "")
    held = content(store, kind, namespace, name)
    if held is None:
        if said.get("optional"):
            return
        raise Waiting("ContainerCreating", f'MountVolume.SetUp failed: {kind.lower()} "{name}" not found')
    items = said.get("items") or [{"key": key, "path": key} for key in held]
    for item in items:
        file = place / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(held[item["key"]])
        file.chmod(item.get("mode") or said.get("defaultMode") or 0o644)
