"""A Job of the GPU pool over two nodes: the first pod runs its command, the other follows, and both end together."""

import json
import sys
from pathlib import Path

import pytest
from free_ports import free_port
from kubernetes_cluster import KubernetesCluster
from mlflow_server import wait_until
from several_hosts import write_stage

from cluster.manifests import Thing, job
from cluster.test_running import ended

REPO = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="pods end with their parents")]


def two_nodes(namespace: str, folder: Path, ending: str) -> Thing:
    """What infra/prefect says, without what a test has no use for: volumes, secrets, GPUs, and names in DNS."""
    manifest = json.loads((REPO / "infra/prefect/understudy-gpu.json").read_text())["job_configuration"]["job_manifest"]
    spec = manifest["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    own = {"NODE_RANK", "JOB_NAME"}
    environment = [entry for entry in container["env"] if entry["name"] in own]
    port = str(free_port())
    for name, value in {"NNODES": "2 ", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        environment.append({"name": name, "value": value})
    run = f"cd {folder} && exec python -m stages.fake 1 {ending} 0"
    container = {"command": container["command"], "args": ["bash", "-c", run], "env": environment}
    pod = {"subdomain": spec["template"]["spec"]["subdomain"], "terminationGracePeriodSeconds": 60}
    return job(namespace, container=container, pod=pod, completions=2, parallelism=2,
               completionMode=spec["completionMode"], successPolicy=spec["successPolicy"])  # fmt: skip


def notes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("notes/here-*"))


def test_both_work_and_the_first_one_s_end_is_the_job_s(
    kubernetes: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    write_stage(tmp_path)
    kubernetes.make(two_nodes(namespace, tmp_path, "well"))
    assert ended(kubernetes, namespace) == "Complete"
    assert notes(tmp_path) == ["here-0", "here-1"]
    assert kubernetes.read("Job", namespace, "job")["status"]["completedIndexes"] == "0"


def test_an_evicted_follower_ends_both(kubernetes: KubernetesCluster, namespace: str, tmp_path: Path) -> None:
    write_stage(tmp_path)
    kubernetes.make(two_nodes(namespace, tmp_path, "waits"))
    wait_until(lambda: notes(tmp_path) == ["here-0", "here-1"], "both to work")
    (follower,) = kubernetes.all("Pod", namespace, "batch.kubernetes.io/job-completion-index=1")
    kubernetes.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{follower['metadata']['name']}")
    assert ended(kubernetes, namespace) == "BackoffLimitExceeded"
    assert (tmp_path / "notes/broken").exists()  # both were asked to end, not killed
