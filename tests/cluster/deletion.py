"""Deleting, with grace and in one of Kubernetes' three orders, and the collector of what has lost its owner."""

import datetime
from typing import Any

from cluster.store import Store, Thing, now

FOREGROUND = "foregroundDeletion"


def delete(store: Store, thing: Thing, grace: int | None = None, order: str | None = None) -> Thing:
    """The object as it is then: gone at once, or marked until its pod has ended or its finalizers are done.

    grace: seconds, for pods alone; by default the pod's own. order: Foreground, Background or Orphan.
    """
    order = order or ("Orphan" if thing["kind"] == "Job" else "Background")  # batch/v1's default, of old
    if order == "Orphan":
        for dependent in _dependents(store, thing):
            store.change(dependent, lambda copy: _disown(copy, thing["metadata"]["uid"]))

    def mark(copy: Thing) -> None:
        metadata = copy["metadata"]
        if copy["kind"] == "Pod":
            _mark_pod(copy, grace)
            return
        metadata.setdefault("deletionTimestamp", now())
        if copy["kind"] == "Namespace":
            copy["status"]["phase"] = "Terminating"
        if order == "Foreground" and FOREGROUND not in metadata.get("finalizers", []):
            metadata["finalizers"] = [*metadata.get("finalizers", []), FOREGROUND]

    return store.change(thing, mark) or thing


def _mark_pod(pod: Thing, grace: int | None) -> None:
    metadata, spec = pod["metadata"], pod["spec"]
    seconds = spec["terminationGracePeriodSeconds"] if grace is None else max(grace, 0)
    if "nodeName" not in spec or pod["status"]["phase"] in ("Succeeded", "Failed"):
        seconds = 0
    if seconds < metadata.get("deletionGracePeriodSeconds", seconds + 1):  # it can be shortened, never lengthened
        then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        metadata["deletionTimestamp"] = then.strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata["deletionGracePeriodSeconds"] = seconds


def collect(store: Store) -> None:
    """Delete what has lost its owner, or whose owner waits for it; empty the namespaces that are to go."""
    living = {thing["metadata"]["uid"]: thing for thing in store}
    for thing in living.values():
        owners = [living.get(owner["uid"]) for owner in thing["metadata"].get("ownerReferences", [])]
        lost = owners and not any(owners)
        awaited = any(owner and FOREGROUND in owner["metadata"].get("finalizers", []) for owner in owners)
        if (lost or awaited) and "deletionTimestamp" not in thing["metadata"]:
            delete(store, thing, order="Background")
    for thing in living.values():
        if FOREGROUND in thing["metadata"].get("finalizers", []) and not _dependents(store, thing):
            store.change(thing, lambda copy: copy["metadata"]["finalizers"].remove(FOREGROUND))
    for namespace in store.list("Namespace"):
        if "deletionTimestamp" in namespace["metadata"]:
            inside = [thing for thing in store if thing["metadata"].get("namespace") == namespace["metadata"]["name"]]
            for thing in inside:
                if "deletionTimestamp" not in thing["metadata"]:
                    delete(store, thing, order="Background")
            if not inside:
                store.change(namespace, lambda copy: copy["spec"].pop("finalizers"))


def _dependents(store: Store, owner: Thing) -> list[Thing]:
    uid = owner["metadata"]["uid"]
    return [thing for thing in store if any(uid == ref["uid"] for ref in thing["metadata"].get("ownerReferences", []))]


def _disown(thing: dict[str, Any], uid: str) -> None:
    metadata = thing["metadata"]
    metadata["ownerReferences"] = [ref for ref in metadata["ownerReferences"] if ref["uid"] != uid]
