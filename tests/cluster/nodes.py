"""Which node a pod goes to: the first that has its labels, whose taints it tolerates, and that has enough left."""

from collections import Counter
from typing import Any

from cluster.quantities import amount, asks
from cluster.store import Store, Thing, now


def schedule(store: Store) -> None:
    """A pod that fits nowhere stays Pending, and says why as Kubernetes does."""
    for pod in store.list("Pod"):
        if "nodeName" in pod["spec"] or "deletionTimestamp" in pod["metadata"]:
            continue
        why = _lacking_claim(store, pod)
        reasons: Counter[str] = Counter()
        for node in store.list("Node") if not why else []:
            reason = _unfit(store, node, pod)
            if reason is None:
                _bind(store, pod, node)
                break
            reasons[reason] += 1
        else:
            count = len(store.list("Node"))
            said = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
            why = why or f"0/{count} nodes are available: {said}."
            _report(store, pod, "False", reason="Unschedulable", message=why)
            store.event(pod, "FailedScheduling", why)


def _unfit(store: Store, node: Thing, pod: Thing) -> str | None:
    labels = node["metadata"].get("labels", {})
    if any(labels.get(name) != value for name, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in node["spec"].get("taints", []):
        hard = taint["effect"] in ("NoSchedule", "NoExecute")
        if hard and not any(_tolerates(toleration, taint) for toleration in pod["spec"].get("tolerations", [])):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    left = Counter({name: amount(value) for name, value in node["status"]["allocatable"].items()})
    for other in store.list("Pod"):
        ended = other["status"]["phase"] in ("Succeeded", "Failed")
        if other["spec"].get("nodeName") == node["metadata"]["name"] and not ended:
            left.subtract(asks(other))
    short = [name for name, wanted in asks(pod).items() if wanted > left[name]]
    return f"Insufficient {short[0]}" if short else None


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    same_key = toleration.get("key", taint["key"]) == taint["key"]
    same_value = toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
    return same_key and same_value and toleration.get("effect", taint["effect"]) == taint["effect"]


def _lacking_claim(store: Store, pod: Thing) -> str:
    for volume in pod["spec"].get("volumes", []):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim and not store.get("PersistentVolumeClaim", pod["metadata"]["namespace"], claim):
            return f'persistentvolumeclaim "{claim}" not found'
    return ""


def _bind(store: Store, pod: Thing, node: Thing) -> None:
    store.change(pod, lambda copy: copy["spec"].update(nodeName=node["metadata"]["name"]))
    _report(store, pod, "True")


def _report(store: Store, pod: Thing, status: str, **more: str) -> None:
    condition = {"type": "PodScheduled", "status": status, **more}

    def edit(copy: Thing) -> None:
        others = [one for one in copy["status"]["conditions"] if one["type"] != "PodScheduled"]
        same = [one for one in copy["status"]["conditions"] if one.items() >= condition.items()]
        copy["status"]["conditions"] = [*others, same[0] if same else {**condition, "lastTransitionTime": now()}]

    store.change(pod, edit)
