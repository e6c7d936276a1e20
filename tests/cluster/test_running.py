"""Jobs and pods, run as processes: how they end, what they are given, where they go."""

from pathlib import Path

import pytest
from kubernetes_cluster import KubernetesCluster, Refused
from mlflow_server import wait_until

from cluster.manifests import Thing, job, thing


def the_pod(kubernetes: KubernetesCluster, namespace: str) -> Thing:
    wait_until(lambda: kubernetes.all("Pod", namespace), "a pod")
    return kubernetes.all("Pod", namespace)[-1]


def log(kubernetes: KubernetesCluster, namespace: str) -> str:
    return kubernetes.log(namespace, the_pod(kubernetes, namespace)["metadata"]["name"])


def ended(kubernetes: KubernetesCluster, namespace: str, name: str = "job") -> str:
    """How the Job ended: Complete, or the reason for its failure."""

    def last() -> Thing | None:
        conditions = kubernetes.read("Job", namespace, name)["status"].get("conditions", [])
        return next((one for one in conditions if one["type"] in ("Complete", "Failed")), None)

    wait_until(last, "the Job's end")
    end = last() or {}
    return end["type"] if end["type"] == "Complete" else end["reason"]


def container_end(pod: Thing) -> tuple[int, str]:
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state["exitCode"], state["reason"]


def running(kubernetes: KubernetesCluster, namespace: str, said: str) -> Thing:
    """The pod, once it has printed this."""
    wait_until(lambda: the_pod(kubernetes, namespace)["status"]["phase"] == "Running", "a running pod")
    wait_until(lambda: said in log(kubernetes, namespace), said)
    return the_pod(kubernetes, namespace)


def test_a_job_gets_its_environment_and_its_files(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(
        thing("Secret", namespace, "keys", stringData={"key": "s3cret"}),
        thing("ConfigMap", namespace, "settings", data={"colour": "blue", "file.txt": "from a file"}),
    )
    script = """
    echo "$KEY $colour $NAME $NODE $GREETING $CPUS"; cat /settings/file.txt; echo
    echo "$PLACE" > /tmp/written; cat "$PLACE/written"; which python
    python -c 'import understudy; print(understudy.__file__)'
    """
    env = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['job-name']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "GREETING", "value": "hello-$(NAME)"},
        {"name": "PLACE", "value": "/tmp"},
    ]
    container = {
        "env": env, "envFrom": [{"configMapRef": {"name": "settings"}}], "resources": {"limits": {"cpu": "2"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "settings", "mountPath": "/settings"}],
    }  # fmt: skip
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}}]
    kubernetes.make(job(namespace, script, container=container, pod={"volumes": volumes}))
    assert ended(kubernetes, namespace) == "Complete"
    said = log(kubernetes, namespace).splitlines()
    assert said[:2] == ["s3cret blue job plain hello-job 2", "from a file"]
    assert said[2].startswith(str(kubernetes.folder)) and said[2].endswith("/volumes/tmp"), "the path was rewritten"
    assert "/bin/python" in said[3] and said[4].endswith("understudy/__init__.py")
    assert container_end(the_pod(kubernetes, namespace)) == (0, "Completed")


def test_a_job_that_fails_says_how_and_is_tried_as_often_as_it_may(
    kubernetes: KubernetesCluster, namespace: str
) -> None:
    kubernetes.make(job(namespace, "echo no >&2; exit 3", backoffLimit=2))
    assert ended(kubernetes, namespace) == "BackoffLimitExceeded"
    pods = kubernetes.all("Pod", namespace, "job-name=job")
    assert [container_end(pod) for pod in pods] == [(3, "Error")] * 3
    assert kubernetes.read("Job", namespace, "job")["status"]["failed"] == 3
    assert log(kubernetes, namespace) == "no\n"


def test_deleting_sends_sigterm_to_the_group_and_waits(
    kubernetes: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    kubernetes.make(
        job(namespace, f"trap 'sleep 0.5; echo ended > {tmp_path}/end; exit 0' TERM; echo ready; sleep 60 & wait")
    )
    running(kubernetes, namespace, "ready")
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/job"
    answer = kubernetes.request("DELETE", path, {"propagationPolicy": "Foreground"})
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"], "it stays until its pod has ended"
    assert the_pod(kubernetes, namespace)["metadata"]["deletionTimestamp"]
    wait_until(lambda: (tmp_path / "end").exists(), "the process to end as it likes")
    wait_until(lambda: not kubernetes.all("Job", namespace) and not kubernetes.all("Pod", namespace), "both to go")


def test_after_the_grace_everything_is_killed_and_nothing_is_left(
    kubernetes: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    script = f"trap '' TERM; setsid bash -c 'echo $$ > {tmp_path}/pid; exec sleep 60' & echo ready; sleep 60; sleep 60"
    kubernetes.make(job(namespace, script, pod={"terminationGracePeriodSeconds": 1}))
    pod = running(kubernetes, namespace, "ready")
    kubernetes.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}")
    assert ended(kubernetes, namespace) == "BackoffLimitExceeded"
    with pytest.raises(Refused, match="not found"):
        kubernetes.read("Pod", namespace, pod["metadata"]["name"])
    process = Path("/proc") / (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not process.exists() or "\nState:\tZ" in (process / "status").read_text(), "its child to go too")


@pytest.mark.parametrize("reason", ["OOMKilled", "Error"])
def test_a_pod_that_is_killed_says_why(kubernetes: KubernetesCluster, namespace: str, reason: str) -> None:
    kubernetes.make(job(namespace, "echo ready; sleep 60"))
    pod = running(kubernetes, namespace, "ready")
    kubernetes.kill(namespace, pod["metadata"]["name"], reason)
    assert ended(kubernetes, namespace) == "BackoffLimitExceeded"
    assert container_end(the_pod(kubernetes, namespace)) == (137, reason)


@pytest.mark.parametrize(("policy", "failed"), [("Failed", 0), ("TerminatingOrFailed", 1)])
def test_when_an_evicted_pod_counts_as_failed_is_the_policys(
    kubernetes: KubernetesCluster, namespace: str, policy: str, failed: int
) -> None:
    """By default a pod counts while it still has its grace, so that the Job has failed before the process has ended."""
    kubernetes.make(
        job(namespace, "trap 'sleep 1; exit 75' TERM; echo ready; sleep 60 & wait", podReplacementPolicy=policy)
    )
    pod = running(kubernetes, namespace, "ready")
    kubernetes.evict(namespace, pod["metadata"]["name"])

    def status() -> Thing:
        return kubernetes.read("Job", namespace, "job")["status"]

    wait_until(lambda: status()["terminating"], "the Job to hear of it")
    assert status().get("failed", 0) == failed
    conditions = {
        one["type"]: one["reason"] for one in the_pod(kubernetes, namespace)["status"]["conditions"] if "reason" in one
    }
    assert conditions == {"DisruptionTarget": "EvictionByEvictionAPI"}
    assert ended(kubernetes, namespace) == "BackoffLimitExceeded"
    assert status()["failed"] == 1 and status()["terminating"] == 0


def test_a_pod_that_fits_no_node_stays_pending(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(job(namespace, "true", container={"resources": {"limits": {"nvidia.com/gpu": "3"}}}))

    def why() -> str:
        conditions = the_pod(kubernetes, namespace)["status"]["conditions"]
        return "".join(one.get("message", "") for one in conditions)

    wait_until(why, "the scheduler's word")
    assert why() == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    assert the_pod(kubernetes, namespace)["status"]["phase"] == "Pending"


def test_what_a_pod_lacks_is_said_and_it_starts_when_it_is_there(kubernetes: KubernetesCluster, namespace: str) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}]
    kubernetes.make(job(namespace, "echo $KEY", container={"env": env}))

    def waits() -> str:
        states = the_pod(kubernetes, namespace)["status"].get("containerStatuses", [])
        return states[0]["state"].get("waiting", {}).get("reason", "") if states else ""

    wait_until(lambda: waits() == "CreateContainerConfigError", "the kubelet's word")
    kubernetes.make(thing("Secret", namespace, "keys", stringData={"key": "late"}))
    assert ended(kubernetes, namespace) == "Complete" and log(kubernetes, namespace) == "late\n"


def test_an_image_that_nobody_knows_is_not_run(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(job(namespace, "true", container={"image": "elsewhere:1"}))
    wait_until(lambda: "ImagePullBackOff" in str(the_pod(kubernetes, namespace)["status"]), "the kubelet's word")


def test_a_claim_outlives_the_pods_that_use_it(kubernetes: KubernetesCluster, namespace: str) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    kubernetes.make(thing("PersistentVolumeClaim", namespace, "workspaces", spec=claim))
    mounted = {"volumeMounts": [{"name": "work", "mountPath": "/workspaces"}]}
    volumes = {"volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": "workspaces"}}]}
    kubernetes.make(job(namespace, "echo kept > /workspaces/file", "writer", mounted, volumes))
    assert ended(kubernetes, namespace, "writer") == "Complete"
    kubernetes.make(job(namespace, "cat /workspaces/file", "reader", mounted, volumes))
    assert ended(kubernetes, namespace, "reader") == "Complete"
    assert log(kubernetes, namespace) == "kept\n"


def test_an_indexed_job_numbers_its_pods(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(
        job(namespace, "echo $JOB_COMPLETION_INDEX", completions=3, parallelism=2, completionMode="Indexed")
    )
    assert ended(kubernetes, namespace) == "Complete"
    assert kubernetes.read("Job", namespace, "job")["status"]["completedIndexes"] == "0,1,2"
    names = [pod["metadata"]["name"] for pod in kubernetes.all("Pod", namespace)]
    assert sorted(kubernetes.log(namespace, name) for name in names) == ["0\n", "1\n", "2\n"]


def test_a_deadline_ends_a_job_and_its_time_to_live_removes_it(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(job(namespace, "sleep 60", activeDeadlineSeconds=1))
    assert ended(kubernetes, namespace) == "DeadlineExceeded"
    kubernetes.make(job(namespace, "true", "brief", ttlSecondsAfterFinished=1))
    wait_until(lambda: len(kubernetes.all("Job", namespace)) == 1, "the Job's removal, with its pod")
