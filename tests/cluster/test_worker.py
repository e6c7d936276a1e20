"""A real Prefect server and its real Kubernetes worker, with no more rights than a Role's, run flows as Jobs."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from kubernetes_cluster import KubernetesCluster
from mlflow_server import wait_until
from prefect_server import PrefectServer
from prefect_worker import rights, working

from cluster.manifests import Thing

VARIABLES = {name: {"type": "string"} for name in ("name", "namespace", "command")}
VARIABLES |= {name: {"type": "object"} for name in ("env", "labels", "node")}
TEMPLATE = {
    "variables": {"type": "object", "properties": VARIABLES},
    "job_configuration": {
        **{name: f"{{{{ {name} }}}}" for name in VARIABLES if name != "node"},
        "job_manifest": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"labels": "{{ labels }}", "namespace": "{{ namespace }}", "generateName": "{{ name }}-"},
            "spec": {
                "backoffLimit": 0,
                "parallelism": 1,  # the worker insists on these two
                "completions": 1,
                "podReplacementPolicy": "Failed",  # or the observer takes the run for crashed before it has ended
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "nodeSelector": "{{ node }}",
                        "containers": [
                            {
                                "name": "prefect-job",
                                "image": "understudy:test",
                                "env": "{{ env }}",
                                "args": "{{ command }}",
                                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                            }
                        ],
                        "volumes": [{"name": "tmp", "emptyDir": {}}],
                    }
                },
            },
        },
    },
}  # fmt: skip


@pytest.mark.long
def test_a_worker_runs_reschedules_and_cancels(
    kubernetes: KubernetesCluster, prefect_server: PrefectServer, namespace: str, tmp_path: Path
) -> None:
    """One test, for one worker: a flow whose pod is evicted, one that is cancelled, one that is before it began."""
    kubernetes.make(*rights(namespace))
    (tmp_path / "template.json").write_text(json.dumps(TEMPLATE))
    prefect_server.prefect("work-pool", "create", namespace, "--type", "kubernetes", "--base-job-template",
                           str(tmp_path / "template.json"))  # fmt: skip
    start = deployed(prefect_server, namespace)
    (tmp_path / "worker").mkdir()
    account = kubernetes.account(namespace, "worker")
    with working(prefect_server, namespace, namespace, account, tmp_path / "worker"):
        evicted, cancelled = start(tmp_path / "evicted"), start(tmp_path / "cancelled")
        prefect_server.wait_for(evicted, "Running")
        wait_until(lambda: started(tmp_path / "evicted") == 1, "the first flow to start")
        first = job_of(kubernetes, namespace, evicted)
        (pod,) = kubernetes.all("Pod", namespace, f"job-name={first['metadata']['name']}")
        kubernetes.evict(namespace, pod["metadata"]["name"])

        wait_until(lambda: started(tmp_path / "cancelled") == 1, "the second flow to start")
        with prefect_server.client() as client:
            from prefect.states import Cancelling

            client.set_flow_run_state(cancelled, Cancelling())
        prefect_server.wait_for(cancelled, "Cancelled")
        wait_until(lambda: not any(map(works, jobs_of(kubernetes, namespace, cancelled))), "its Job to end")

        # A Job whose pod fits no node: no process in it can hear that it is cancelled.
        with prefect_server.client() as client:
            waiting = start(tmp_path / "waiting", node={"nowhere": "true"})
            wait_until(lambda: len(jobs_of(kubernetes, namespace, waiting)) == 1, "the Job of a pod without a node")
            client.set_flow_run_state(waiting, Cancelling())
        prefect_server.wait_for(waiting, "Cancelled")
        wait_until(lambda: not jobs_of(kubernetes, namespace, waiting), "the Job to be removed")
        assert started(tmp_path / "waiting") == 0

        wait_until(lambda: started(tmp_path / "evicted") == 2, "the evicted flow to start again")
        (tmp_path / "evicted" / "go").touch()
        prefect_server.wait_for(evicted, "Completed")
    # The first ends well too: what Prefect runs in the pod gives the run back when it is told to stop.
    assert len(jobs_of(kubernetes, namespace, evicted)) == 2
    wait_until(lambda: not any(map(works, jobs_of(kubernetes, namespace, evicted))), "both its Jobs to end")
    with prefect_server.client() as client:
        names = [state.name for state in client.read_flow_run_states(evicted)]
    assert "Crashed" not in names and names.count("Running") == 2


def deployed(server: PrefectServer, pool: str) -> Callable[..., UUID]:
    """What starts a run of the waiting flow in this pool, in a folder; node: the labels of the node that it needs."""
    with server.client() as client:
        deployment = client.create_deployment(
            client.create_flow_from_name("waiting"), "waiting", entrypoint="waiting_flow.py:waiting",
            work_pool_name=pool, job_variables={"namespace": pool, "env": {"PREFECT_HOME": "/tmp/prefect"}},
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(Path(__file__).parent)}}],
        )  # fmt: skip

    def start(folder: Path, node: Thing | None = None) -> UUID:
        folder.mkdir()
        with server.client() as client:
            asked = {"node": node} if node else {}
            given = {"place": str(folder)}
            return client.create_flow_run_from_deployment(deployment, parameters=given, job_variables=asked).id

    return start


def started(folder: Path) -> int:
    return len(list(folder.glob("started-*")))


def jobs_of(kubernetes: KubernetesCluster, namespace: str, run: UUID) -> list[Thing]:
    return kubernetes.all("Job", namespace, f"prefect.io/flow-run-id={run}")


def works(job: Thing) -> bool:
    return bool(job["status"].get("active", 0))


def job_of(kubernetes: KubernetesCluster, namespace: str, run: UUID) -> Thing:
    (job,) = jobs_of(kubernetes, namespace, run)
    return job
