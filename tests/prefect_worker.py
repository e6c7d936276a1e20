"""The real Prefect Kubernetes worker for tests, between a real Prefect server and the test cluster."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mlflow_server import stop_group
from prefect_server import PrefectServer

ACCOUNTS = Path(__file__).parents[1] / "infra/k8s/base/accounts.yaml"


def rights(namespace: str) -> list[dict[str, Any]]:
    """The worker's account and its Role, as they are applied in production, in this namespace."""
    things = list(yaml.safe_load_all(ACCOUNTS.read_text()))
    for thing in things:
        thing["metadata"]["namespace"] = namespace
        for subject in thing.get("subjects", ()):
            subject["namespace"] = namespace
    return things


@contextlib.contextmanager
def working(server: PrefectServer, pool: str, namespace: str, kubeconfig: Path, folder: Path) -> Iterator[Path]:
    """A worker for one pool that runs within the block; gives the file of what it prints. folder: its PREFECT_HOME."""
    environment = server.environment | {
        "KUBECONFIG": str(kubeconfig),
        "PREFECT_HOME": str(folder),
        "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES": namespace,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",  # as infra/k8s has it
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
