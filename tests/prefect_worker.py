"""The real Prefect Kubernetes worker for tests, between a real Prefect server and the test cluster."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mlflow_server import stop_group
from prefect_server import PrefectServer

# What the worker and its observer need in the namespace where the Jobs run.
RIGHTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: NAMESPACE}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: worker, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
  - {apiGroups: [batch], resources: [jobs], verbs: [get, list, watch, create, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: worker, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: worker}
subjects: [{kind: ServiceAccount, name: worker, namespace: NAMESPACE}]
"""


@contextlib.contextmanager
def working(server: PrefectServer, pool: str, namespace: str, kubeconfig: Path, folder: Path) -> Iterator[Path]:
    """A worker for one pool that runs within the block; gives the file of what it prints. folder: its PREFECT_HOME."""
    environment = server.environment | {
        "KUBECONFIG": str(kubeconfig),
        "PREFECT_HOME": str(folder),
        "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES": namespace,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    said = folder / "worker.txt"
    with said.open("a") as output:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "kubernetes"]
        process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # fmt: skip
    try:
        yield said
    finally:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)
        stop_group(process)
