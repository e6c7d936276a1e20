"""Tokens, Roles, pod security and quotas: who may do what, and how much."""

import pytest
import yaml
from kubernetes_cluster import KubernetesCluster, Refused
from mlflow_server import wait_until

from cluster.manifests import Thing, job, reader, thing


def token(kubernetes: KubernetesCluster, namespace: str, account: str) -> str:
    return yaml.safe_load(kubernetes.account(namespace, account).read_text())["users"][0]["user"]["token"]


def test_an_unknown_token_is_nobody(kubernetes: KubernetesCluster) -> None:
    with pytest.raises(Refused, match="Unauthorized") as refused:
        kubernetes.request("GET", "/api/v1/pods", token="guessed")
    assert refused.value.code == 401


def test_an_account_may_do_what_its_role_says_and_no_more(kubernetes: KubernetesCluster, namespace: str) -> None:
    jobs_rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]}
    secret_rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["mine"]}
    kubernetes.make(*reader(namespace, "worker", jobs_rule, secret_rule))
    kubernetes.make(thing("Secret", namespace, "mine"), thing("Secret", namespace, "other"))
    worker, jobs = token(kubernetes, namespace, "worker"), f"/apis/batch/v1/namespaces/{namespace}/jobs"
    kubernetes.request("POST", jobs, job(namespace, "true"), token=worker)
    assert kubernetes.request("GET", f"{jobs}/job", token=worker)["kind"] == "Job"
    kubernetes.request("GET", f"/api/v1/namespaces/{namespace}/secrets/mine", token=worker)
    who = f'User "system:serviceaccount:{namespace}:worker" cannot'
    for method, path, said in (
        (
            "GET",
            jobs,
            f'jobs.batch is forbidden: {who} list resource "jobs" in API group "batch" in the namespace "{namespace}"',
        ),
        ("DELETE", f"{jobs}/job", f'jobs.batch "job" is forbidden: {who} delete'),
        ("GET", jobs + "?watch=1", f"{who} watch"),
        ("GET", f"/api/v1/namespaces/{namespace}/secrets/other", f'secrets "other" is forbidden: {who} get'),
        ("GET", "/apis/batch/v1/namespaces/default/jobs/job", 'in the namespace "default"'),
        ("GET", "/api/v1/nodes", "at the cluster scope"),
    ):
        with pytest.raises(Refused) as refused:
            kubernetes.request(method, path, token=worker)
        assert refused.value.code == 403 and refused.value.reason == "Forbidden"
        assert said in str(refused.value)


def test_reading_pods_is_not_reading_their_logs(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(*reader(namespace, "reader", {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}))
    reading = token(kubernetes, namespace, "reader")
    kubernetes.request("GET", f"/api/v1/namespaces/{namespace}/pods", token=reading)
    with pytest.raises(Refused, match='cannot get resource "pods/log"'):
        kubernetes.request("GET", f"/api/v1/namespaces/{namespace}/pods/any/log", token=reading)


def test_the_token_of_an_account_that_is_gone_is_nobodys(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(*reader(namespace, "brief", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}))
    brief, pods = token(kubernetes, namespace, "brief"), f"/api/v1/namespaces/{namespace}/pods"
    kubernetes.request("GET", pods, token=brief)
    kubernetes.request("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/brief")
    with pytest.raises(Refused, match="Unauthorized"):
        kubernetes.request("GET", pods, token=brief)


SAFE = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize(
    ("pod", "container", "said"),
    [
        ({"securityContext": SAFE}, {}, "allowPrivilegeEscalation != false (container"),
        ({"securityContext": SAFE}, {"allowPrivilegeEscalation": False}, "unrestricted capabilities"),
        ({"securityContext": {"runAsNonRoot": True}}, CONFINED, "seccompProfile"),
        ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, CONFINED, "runAsNonRoot != true"),
        ({"securityContext": SAFE | {"runAsUser": 0}}, CONFINED, "runAsUser=0 (pod)"),
        ({"securityContext": SAFE}, CONFINED | {"privileged": True}, "privileged"),
        ({"securityContext": SAFE, "hostNetwork": True}, CONFINED, "host namespaces (hostNetwork)"),
        ({"securityContext": SAFE, "volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, CONFINED, "volumes host"),
        ({"securityContext": SAFE}, CONFINED, None),
    ],
)
def test_a_restricted_namespace_takes_confined_pods_alone(
    kubernetes: KubernetesCluster, namespace: str, pod: Thing, container: Thing, said: str | None
) -> None:
    home = kubernetes.request("GET", f"/api/v1/namespaces/{namespace}")
    home["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubernetes.request("PUT", f"/api/v1/namespaces/{namespace}", home)
    manifest = job(namespace, "true", pod=pod, container={"securityContext": container})
    bare = thing("Pod", namespace, "bare", spec=manifest["spec"]["template"]["spec"])
    if said is None:
        kubernetes.make(bare)
        return
    with pytest.raises(Refused) as refused:
        kubernetes.make(bare)
    assert 'violates PodSecurity "restricted:latest"' in str(refused.value) and said in str(refused.value)
    kubernetes.make(manifest)  # a Job is taken, but its pods are not
    wait_until(lambda: any(said in event["message"] for event in kubernetes.all("Event", namespace)), "the event")
    assert not kubernetes.all("Pod", namespace)


def test_a_quota_counts_gpus_and_a_freed_one_goes_to_the_next(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(thing("ResourceQuota", namespace, "gpus", spec={"hard": {"requests.nvidia.com/gpu": "1"}}))
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    kubernetes.make(job(namespace, "sleep 60", "first", gpu))
    wait_until(lambda: kubernetes.all("Pod", namespace), "the first pod")
    kubernetes.make(job(namespace, "true", "second", gpu))
    refusal = "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=1"
    wait_until(lambda: any(refusal in event["message"] for event in kubernetes.all("Event", namespace)), "the refusal")
    quota = kubernetes.read("ResourceQuota", namespace, "gpus")
    assert quota["status"] == {"hard": {"requests.nvidia.com/gpu": "1"}, "used": {"requests.nvidia.com/gpu": "1"}}
    kubernetes.request("DELETE", f"/apis/batch/v1/namespaces/{namespace}/jobs/first?propagationPolicy=Background",
                       {"gracePeriodSeconds": 0})  # fmt: skip
    wait_until(lambda: kubernetes.read("Job", namespace, "second")["status"].get("succeeded"), "the second Job")


def test_a_quota_of_memory_wants_it_said(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(thing("ResourceQuota", namespace, "all", spec={"hard": {"requests.memory": "1Gi", "pods": "1"}}))
    spec = job(namespace, "sleep 60")["spec"]["template"]["spec"]
    with pytest.raises(Refused, match=r"failed quota: all: must specify requests.memory"):
        kubernetes.make(thing("Pod", namespace, "silent", spec=spec))
    spec["containers"][0]["resources"] = {"limits": {"memory": "600Mi"}}
    kubernetes.make(thing("Pod", namespace, "one", spec=spec))
    with pytest.raises(Refused, match="exceeded quota: all"):
        kubernetes.make(thing("Pod", namespace, "two", spec=spec))
