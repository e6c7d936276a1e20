"""Everything that runs in production, on loopback, and real but for the cluster (tests/cluster).

git's server, S3 behind a proxy, Postgres, MLflow, Prefect's server, the manifests of infra/k8s, pools and deployments
as `make deploy` makes them, and Prefect's two Kubernetes workers with the rights of infra/k8s alone.
"""

import base64
import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import yaml
from git_daemon import serving_git
from kubernetes_cluster import REPO, KubernetesCluster, Thing, node
from mlflow_server import MlflowServer, Postgres
from prefect_server import PrefectServer
from prefect_worker import working
from s3_proxy import Proxy
from s3_servers import BUCKET, KEYS, Server, serving

POOLS = ("understudy-cpu", "understudy-gpu")
IMAGE = "understudy:test"
REMOTE = f"s3://{BUCKET}/dvc"
OVERLAY = "understudy-dev"  # the namespace that it names
GPU = "nvidia.com/gpu"


class Stack:
    """namespace: where Jobs run. s3: the proxy that pods speak to; store: the server behind it.

    code: the folder that is deployed, with a prefect.yaml of its own. mlflow: None where no test asks for a registry.
    """

    def __init__(self, kubernetes: KubernetesCluster, prefect: PrefectServer, store: Server, s3: Proxy,
                 mlflow: MlflowServer | None, folder: Path) -> None:  # fmt: skip
        self.kubernetes, self.prefect, self.store, self.s3, self.mlflow = kubernetes, prefect, store, s3, mlflow
        self.folder, self.code = folder, folder / "code"
        self.namespace = f"test-{uuid.uuid4().hex[:8]}"
        self._workers = contextlib.ExitStack()

    def apply(self, repository: str, **more: str) -> None:
        """What `kubectl apply -k` makes, and the Secrets and addresses that an overlay names."""
        done = subprocess.run(["kubectl", "kustomize", str(REPO / "infra/k8s/overlays/dev")], capture_output=True,
                              text=True, check=True, timeout=60)  # fmt: skip
        things = [thing for thing in yaml.safe_load_all(done.stdout.replace(OVERLAY, self.namespace)) if thing]
        for thing in things:
            if thing["kind"] == "ConfigMap" and thing["metadata"]["name"] == "understudy-environment":
                thing["data"] |= self.environment(repository) | more
        things += [self.keys(KEYS[1]), self.keys(KEYS[1], "s3-promotion"),
                   self._secret("git", config="[user]\n\tname = Pipeline\n\temail = pipeline@localhost\n")]  # fmt: skip
        things += _nodes()
        things.sort(key=lambda thing: thing["kind"] != "Namespace")
        said = self.kubernetes.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(things))
        assert said.returncode == 0, said.stderr

    def environment(self, repository: str) -> dict[str, str]:
        """Of every pod: addresses, and what keeps pods on few cores small."""
        return {
            "UNDERSTUDY_REPOSITORY": repository,
            "AWS_ENDPOINT_URL": self.s3.environment["AWS_ENDPOINT_URL"],
            "MLFLOW_TRACKING_URI": self.mlflow.uri if self.mlflow else "",
            "UNDERSTUDY_TRACKING": "on" if self.mlflow else "off",
            "OMP_NUM_THREADS": "1",
            "DVC_SITE_CACHE_DIR": "/tmp/dvc",
            "DVC_NO_ANALYTICS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def deploy(self, changes: dict[str, str]) -> str:
        """What `make deploy` prints. changes: texts of prefect.yaml, and what is to stand in their place."""
        self.code.mkdir(exist_ok=True)
        for name in ("flows", "infra", "understudy", "stages"):
            if not (self.code / name).exists():
                (self.code / name).symlink_to(REPO / name)
        text = (REPO / "prefect.yaml").read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (self.code / "prefect.yaml").write_text(text)
        command = [sys.executable, "-m", "understudy.adapters.prefect_deploy", "--namespace", self.namespace,
                   "--image", IMAGE]  # fmt: skip
        environment = self.prefect.environment | {"UNDERSTUDY_CODE": str(REPO), "PYTHONPATH": str(REPO)}
        done = subprocess.run(command, cwd=self.code, env=environment, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def work(self) -> None:
        """Start the workers; `rest` ends them."""
        account = self.kubernetes.account(self.namespace, "worker")
        for pool in POOLS:
            (self.folder / pool).mkdir(exist_ok=True)
            self._workers.enter_context(working(self.prefect, pool, self.namespace, account, self.folder / pool))

    def rest(self) -> None:
        self._workers.close()

    def jobs(self, run: UUID) -> list[Thing]:
        return self.kubernetes.all("Job", self.namespace, f"prefect.io/flow-run-id={run}")

    def pod(self, run: UUID) -> str | None:
        """The name of the pod in which a flow run works now."""
        found = self.kubernetes.all("Pod", self.namespace, f"prefect.io/flow-run-id={run}")
        living = [pod["metadata"]["name"] for pod in found if pod["status"].get("phase") == "Running"]
        return living[-1] if living else None

    def living(self, run: UUID) -> list[str]:
        """The names of a flow run's pods that wait for a node or work."""
        found = self.kubernetes.all("Pod", self.namespace, f"prefect.io/flow-run-id={run}")
        return [pod["metadata"]["name"] for pod in found if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    def claim(self) -> Path:
        """The folder of the volume that the workspaces are on."""
        return self.kubernetes.folder / "claims" / self.namespace / "workspaces"

    def logs(self, run: UUID) -> str:
        """What a flow run has told Prefect."""
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with self.prefect.client() as client:
            found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])), limit=200)
        return "\n".join(entry.message for entry in found)

    def keys(self, secret: str, name: str = "s3-training") -> Thing:
        """The Secret with S3's keys, to be applied."""
        return self._secret(name, AWS_ACCESS_KEY_ID=KEYS[0], AWS_SECRET_ACCESS_KEY=secret)

    def _secret(self, name: str, **values: str) -> Thing:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
                "type": "Opaque", "data": data}  # fmt: skip


def _nodes() -> list[Thing]:
    """Two with the disk that the pools' Jobs ask for; the second is for pods of the GPU pool, as infra/prefect asks."""
    size = {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "400Gi"}
    plain, gpus = node("stages", **size), node("trainer", gpus="1", **size)
    gpus["metadata"]["labels"][f"{GPU}.present"] = "true"
    gpus["spec"] = {"taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}]}
    return [plain, gpus]


@contextlib.contextmanager
def whole_stack(
    kubernetes: KubernetesCluster, prefect: PrefectServer, folder: Path, registry: bool = True
) -> Iterator[Stack]:
    """Servers up, nothing applied and deployed yet. registry: whether MLflow is among them, on Postgres and S3."""
    with contextlib.ExitStack() as ends:
        store = ends.enter_context(serving("rclone", folder / "s3"))
        s3 = Proxy(store)
        ends.callback(s3.stop)
        mlflow = _mlflow(store, folder / "mlflow", ends) if registry else None
        stack = Stack(kubernetes, prefect, store, s3, mlflow, folder)
        ends.callback(lambda: kubernetes.kubectl("delete", "namespace", stack.namespace, "--wait=false"))
        ends.callback(stack.rest)
        yield stack


def _mlflow(store: Server, folder: Path, ends: contextlib.ExitStack) -> MlflowServer:
    postgres = Postgres()
    ends.callback(postgres.remove)
    postgres.start()
    environment = store.environment | {"HOME": os.environ["HOME"],
                                       "MLFLOW_S3_ENDPOINT_URL": store.environment["AWS_ENDPOINT_URL"]}  # fmt: skip
    folder.mkdir()
    server = MlflowServer(folder, postgres.uri, f"s3://{BUCKET}/mlflow", environment)
    ends.callback(server.kill)
    server.be_up()
    return server


@contextlib.contextmanager
def at_work(stack: Stack, repositories: Path, changes: dict[str, str] | None = None, **more: str) -> Iterator[Stack]:
    """Everything applied, deployed and working, on `repositories`/origin.git. more: of every pod's environment."""
    with serving_git(repositories) as address:
        stack.apply(f"{address}/origin.git", **more)
        stack.deploy(changes or {})
        stack.work()
        yield stack
        stack.rest()
