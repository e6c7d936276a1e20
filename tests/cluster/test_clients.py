"""The real clients: kubectl, and kubernetes_asyncio, which Prefect's worker uses."""

import asyncio
import json
import threading

import pytest
import yaml
from kubernetes_asyncio import client, config, watch
from kubernetes_cluster import KubernetesCluster

from cluster.manifests import job, reader, thing


def test_kubectl_applies_follows_waits_and_deletes(kubernetes: KubernetesCluster, namespace: str) -> None:
    settings = thing("ConfigMap", namespace, "settings", data={"a": "1", "b": "2"})
    manifest = yaml.safe_dump_all([job(namespace, "echo one; sleep 0.5; echo two"), settings])

    def kubectl(*arguments: str, given: str | None = None) -> str:
        said = kubernetes.kubectl("--namespace", namespace, *arguments, given=given)
        assert said.returncode == 0, said.stderr
        return said.stdout

    assert kubectl("apply", "-f", "-", given=manifest).split() == (
        ["job.batch/job", "created", "configmap/settings", "created"]
    )
    changed = manifest.replace("b: '2'", "c: '3'")
    assert "settings configured" in kubectl("apply", "-f", "-", given=changed)
    assert json.loads(kubectl("get", "configmap", "settings", "-o", "json"))["data"] == {"a": "1", "c": "3"}
    assert kubectl("wait", "--for=condition=complete", "--timeout=60s", "job/job") == "job.batch/job condition met\n"
    assert kubectl("logs", "--follow", "job/job") == "one\ntwo\n"
    assert "Completed" in kubectl("describe", "pods", "--selector=job-name=job")
    assert 'job.batch "job" deleted' in kubectl("delete", "job", "job", "--cascade=foreground")
    assert kubectl("get", "jobs,pods", "--output=name") == ""


def test_kubectl_shows_refusals(kubernetes: KubernetesCluster, namespace: str) -> None:
    misplaced = kubernetes.kubectl("apply", "-f", "-", given=yaml.safe_dump(job(namespace, pod={"completions": 1})))
    assert misplaced.returncode == 1
    assert 'strict decoding error: unknown field "spec.template.spec.completions"' in misplaced.stderr
    kubernetes.make(*reader(namespace, "nobody"))
    refused = kubernetes.kubectl("get", "pods", account=kubernetes.account(namespace, "nobody"))
    assert refused.returncode == 1
    assert (
        f'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:{namespace}:nobody"'
        in refused.stderr
    )


def test_the_python_client_lists_watches_and_reads_logs(kubernetes: KubernetesCluster, namespace: str) -> None:
    def later() -> None:
        kubernetes.make(job(namespace, "echo done"))

    async def follow() -> tuple[list[str], str]:
        await config.load_kube_config(str(kubernetes.kubeconfig))
        async with client.ApiClient() as api:
            core, phases = client.CoreV1Api(api), []
            listed = await core.list_namespaced_pod(namespace)
            threading.Timer(0.3, later).start()
            version = listed.metadata.resource_version
            stream = watch.Watch().stream(core.list_namespaced_pod, namespace, resource_version=version,
                                          label_selector="job-name=job", timeout_seconds=60)  # fmt: skip
            async for event in stream:
                pod = event["object"]
                phases += [pod.status.phase] if pod.status.phase not in phases[-1:] else []
                if pod.status.phase == "Succeeded":
                    break
            return phases, await core.read_namespaced_pod_log(pod.metadata.name, namespace)

    phases, log = asyncio.run(follow())
    assert phases == ["Pending", "Running", "Succeeded"] and log == "done\n"


def test_the_python_client_hears_of_refusals(kubernetes: KubernetesCluster, namespace: str) -> None:
    kubernetes.make(*reader(namespace, "nobody"))

    async def create() -> None:
        await config.load_kube_config(str(kubernetes.account(namespace, "nobody")))
        async with client.ApiClient() as api:
            await client.BatchV1Api(api).create_namespaced_job(namespace, job(namespace))

    with pytest.raises(client.ApiException) as refused:
        asyncio.run(create())
    assert refused.value.status == 403 and json.loads(refused.value.body)["reason"] == "Forbidden"
