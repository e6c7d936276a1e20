"""The Job controller: makes pods, counts how they end, and says when the Job is complete or has failed."""

import copy
from typing import Any

from cluster import admission
from cluster.deletion import delete
from cluster.refusals import Refusal
from cluster.store import Store, Thing, age, now

COUNTED = "batch.kubernetes.io/job-tracking"  # a pod's finalizer, until its end has been counted
INDEX = "batch.kubernetes.io/job-completion-index"


def reconcile(store: Store) -> None:
    for job in store.list("Job"):
        pods = [pod for pod in store.list("Pod", job["metadata"]["namespace"]) if _owns(job, pod)]
        status = copy.deepcopy(job["status"])
        _count(store, job, pods, status)
        if "deletionTimestamp" not in job["metadata"]:
            _judge(job, pods, status)
            verdict = _condition(status, "FailureTarget") or _condition(status, "SuccessCriteriaMet")
            if verdict or job["spec"]["suspend"]:
                for pod in filter(_active, pods):
                    delete(store, pod)
            else:
                _make_pods(store, job, pods, status)
            _finish(store, job, verdict, status)
        store.change(job, lambda copy, status=status: copy.update(status=status))


def _count(store: Store, job: Thing, pods: list[Thing], status: dict[str, Any]) -> None:
    """A pod that is being deleted counts as failed before it has ended, unless podReplacementPolicy is Failed."""
    over = "deletionTimestamp" in job["metadata"] or status.get("conditions")
    early = over or job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    for pod in pods:
        phase, metadata = pod["status"]["phase"], pod["metadata"]
        failed = phase == "Failed" or (early and "deletionTimestamp" in metadata and phase != "Succeeded")
        if COUNTED not in metadata.get("finalizers", []) or not (failed or phase == "Succeeded"):
            continue
        outcome = "failed" if failed else "succeeded"
        status[outcome] = status.get(outcome, 0) + 1
        if not failed and job["spec"]["completionMode"] == "Indexed":
            done = set(filter(None, status.get("completedIndexes", "").split(","))) | {metadata["annotations"][INDEX]}
            status["completedIndexes"] = ",".join(sorted(done, key=int))
        store.change(pod, lambda copy: copy["metadata"]["finalizers"].remove(COUNTED))
    active = [pod for pod in pods if _active(pod)]
    going = [pod for pod in pods if not _ended(pod) and not _active(pod)]
    ready = [pod for pod in active if pod["status"]["phase"] == "Running"]
    status |= {"active": len(active), "ready": len(ready), "terminating": len(going), "uncountedTerminatedPods": {}}


def _judge(job: Thing, pods: list[Thing], status: dict[str, Any]) -> None:
    spec = job["spec"]
    status.setdefault("startTime", now())
    if status.get("conditions"):
        return
    deadline = spec.get("activeDeadlineSeconds")
    if status.get("succeeded", 0) >= spec["completions"]:
        _add(status, "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
    elif status.get("failed", 0) > spec["backoffLimit"]:
        _add(status, "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    elif deadline is not None and age(status["startTime"]) > deadline:
        _add(status, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")


def _finish(store: Store, job: Thing, verdict: dict[str, Any] | None, status: dict[str, Any]) -> None:
    """Only when every pod has ended is the Job Complete or Failed; then its time to live begins."""
    last = _condition(status, "Complete") or _condition(status, "Failed")
    if verdict and not last and not status["active"] and not status["terminating"]:
        failed = verdict["type"] == "FailureTarget"
        _add(status, "Failed" if failed else "Complete", verdict["reason"], verdict["message"])
        if not failed:
            status["completionTime"] = now()
    alive = job["spec"].get("ttlSecondsAfterFinished")
    if last and alive is not None and age(last["lastTransitionTime"]) >= alive:
        delete(store, job, order="Foreground")


def _make_pods(store: Store, job: Thing, pods: list[Thing], status: dict[str, Any]) -> None:
    spec = job["spec"]
    waiting = status["terminating"] if spec["podReplacementPolicy"] == "Failed" else 0
    wanted = min(spec["parallelism"], spec["completions"] - status.get("succeeded", 0)) - status["active"] - waiting
    indexes: list[int | None] = [None] * max(wanted, 0)
    if spec["completionMode"] == "Indexed":
        taken = set(status.get("completedIndexes", "").split(","))
        taken |= {pod["metadata"]["annotations"][INDEX] for pod in filter(_active, pods)}
        indexes = [index for index in range(spec["completions"]) if str(index) not in taken][: max(wanted, 0)]
    for index in indexes:
        pod = _pod(job, index)
        try:
            admission.name(pod)
            admission.prepare(pod)
            admission.check_new(store, pod)
        except Refusal as refusal:  # tried again in the next round
            store.event(job, "FailedCreate", f"Error creating: {refusal}")
            return
        store.add(pod)
        status["active"] += 1


def _pod(job: Thing, index: int | None) -> Thing:
    metadata, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
    of_template = template.get("metadata") or {}
    name = metadata["name"] if index is None else f"{metadata['name']}-{index}"
    annotations = dict(of_template.get("annotations") or {})
    labels = dict(of_template["labels"])
    if index is not None:
        annotations[INDEX] = labels[INDEX] = str(index)
        template["spec"].setdefault("hostname", name)
        for container in (*template["spec"].get("initContainers", []), *template["spec"]["containers"]):
            container["env"] = [*(container.get("env") or []), {"name": "JOB_COMPLETION_INDEX", "value": str(index)}]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"],
             "controller": True, "blockOwnerDeletion": True}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {"generateName": f"{name}-", "namespace": metadata["namespace"], "labels": labels,
                         "annotations": annotations, "ownerReferences": [owner], "finalizers": [COUNTED]}}  # fmt: skip


def _owns(job: Thing, pod: Thing) -> bool:
    return any(owner["uid"] == job["metadata"]["uid"] for owner in pod["metadata"].get("ownerReferences", []))


def _ended(pod: Thing) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _active(pod: Thing) -> bool:
    return not _ended(pod) and "deletionTimestamp" not in pod["metadata"]


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any] | None:
    return next((condition for condition in status.get("conditions", []) if condition["type"] == kind), None)


def _add(status: dict[str, Any], kind: str, reason: str, message: str) -> None:
    condition = {"type": kind, "status": "True", "reason": reason, "message": message,
                 "lastTransitionTime": now(), "lastProbeTime": now()}  # fmt: skip
    status["conditions"] = [*status.get("conditions", []), condition]
