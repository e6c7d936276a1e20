"""A container's environment and command line, from its manifest."""

import re
from typing import Any

from cluster.quantities import amount, plain
from cluster.store import Store, Thing
from cluster.volumes import Waiting, content


def environment(store: Store, pod: Thing, container: dict[str, Any]) -> dict[str, str]:
    """What the manifest gives it, references resolved. Waiting: something that it refers to does not exist."""
    given: dict[str, str] = {}
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom") or []:
        kind, said = ("Secret", source["secretRef"]) if "secretRef" in source else ("ConfigMap", source["configMapRef"])
        held = content(store, kind, namespace, said["name"])
        if held is None and not said.get("optional"):
            raise Waiting("CreateContainerConfigError", f'{kind.lower()} "{said["name"]}" not found')
        given |= {source.get("prefix", "") + key: value.decode() for key, value in (held or {}).items()}
    for entry in container.get("env") or []:
        if "valueFrom" not in entry:
            given[entry["name"]] = expand(entry.get("value") or "", given)
            continue
        value = _referred(store, pod, container, entry["valueFrom"])
        if value is not None:
            given[entry["name"]] = value
    return given


def expand(text: str, known: dict[str, str]) -> str:
    """$(NAME) by its value; $$(NAME) and unknown names stay."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else known.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([\w.-]+)\)", replace, text)


def _referred(store: Store, pod: Thing, container: dict[str, Any], source: dict[str, Any]) -> str | None:
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        which, _, name = source["resourceFieldRef"]["resource"].partition(".")
        value = container.get("resources", {}).get(which, {}).get(name, "0")
        return plain(amount(value) / amount(source["resourceFieldRef"].get("divisor", "1")))
    kind = "Secret" if "secretKeyRef" in source else "ConfigMap"
    said = source["secretKeyRef" if kind == "Secret" else "configMapKeyRef"]
    held = content(store, kind, pod["metadata"]["namespace"], said["name"])
    if held is not None and said["key"] in held:
        return held[said["key"]].decode()
    if said.get("optional"):
        return None
    lacking = f'{kind.lower()} "{said["name"]}" not found'
    if held is not None:
        lacking = f"couldn't find key {said['key']} in {kind} {pod['metadata']['namespace']}/{said['name']}"
    raise Waiting("CreateContainerConfigError", lacking)


def _field(pod: Thing, path: str) -> str:
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if found:
        return pod["metadata"].get(found[1], {}).get(found[2], "")
    if path in ("status.podIP", "status.hostIP"):
        return "127.0.0.1"
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "")
    return str(value)
