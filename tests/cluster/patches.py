"""The three kinds of patch that clients send: JSON patch, merge patch, and kubectl's strategic merge patch."""

import copy
from typing import Any

import jsonpatch

from cluster.refusals import Refusal, bad_request

# By which field the items of a list are told apart; other lists are replaced whole.
MERGED = dict.fromkeys(("containers", "initContainers", "env", "volumes", "imagePullSecrets"), "name")
MERGED |= {"volumeMounts": "mountPath", "ports": "containerPort", "conditions": "type", "ownerReferences": "uid"}


def patched(thing: Any, patch: Any, media_type: str) -> Any:
    """A copy of thing with the patch applied. Refusal: it does not fit, or is of another kind."""
    match media_type.removeprefix("application/"):
        case "json-patch+json":
            try:
                return jsonpatch.apply_patch(thing, patch)
            except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
                raise Refusal(422, "Invalid", f"the server rejected our request: {error}") from error
        case "merge-patch+json":
            return _merge(thing, patch, strategic=False)
        case "strategic-merge-patch+json":
            return _merge(thing, patch, strategic=True)
    raise Refusal(415, "UnsupportedMediaType", f"this test server has no patches of type {media_type}")


def _merge(old: Any, patch: Any, strategic: bool, field: str = "") -> Any:
    if isinstance(patch, list) and strategic and field in MERGED:
        return _merge_lists(old or [], patch, MERGED[field])
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if strategic and patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    merged = copy.deepcopy(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if strategic and name.startswith("$retainKeys"):
            merged = {kept: merged[kept] for kept in merged if kept in value}
        elif strategic and name.startswith("$deleteFromPrimitiveList/"):
            target = name.split("/", 1)[1]
            merged[target] = [item for item in merged.get(target, []) if item not in value]
        elif strategic and name.startswith("$setElementOrder/"):
            continue
        elif strategic and name.startswith("$"):
            raise bad_request(f"this test server does not know the directive {name}")
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value, strategic, name)
    return merged


def _merge_lists(old: list[Any], patch: list[Any], by: str) -> list[Any]:
    merged = {item[by]: item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item[by], None)
        else:
            merged[item[by]] = _merge(merged.get(item[by]), item, strategic=True)
    return list(merged.values())
