"""Prefect's two work pools as processes of this machine: pools, deployments of prefect.yaml, and a worker for each."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from mlflow_server import stop_group, wait_until
from prefect_server import PrefectServer

POOLS = ("understudy-cpu", "understudy-gpu")


@contextlib.contextmanager
def working(server: PrefectServer, repo: Path, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Deployments of the repository, and workers in that environment, within the block."""
    for pool in POOLS:
        server.prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    server.prefect("--no-prompt", "deploy", "--all", folder=repo, UNDERSTUDY_CODE=str(repo))
    workers = []
    try:
        for pool in POOLS:
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", pool]
            with (folder / f"{pool}.txt").open("a") as output:
                workers.append(subprocess.Popen(
                    command, cwd=folder, env=environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"},
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                ))  # fmt: skip
        yield
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(40)
            stop_group(worker)


def begin(server: PrefectServer, **parameters: object) -> UUID:
    """Have a worker run the pipeline; the flow run."""
    with server.client() as client:
        deployment = client.read_deployment_by_name("compress/pipeline")
        defaults = {"recipe": None, "revision": "HEAD", "isolated": True, "branch": None}
        return client.create_flow_run_from_deployment(deployment.id, parameters=defaults | parameters).id


def children(server: PrefectServer, run: UUID) -> list:
    """The flow runs that a run has started, in their order."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    with server.client() as client:
        wanted = FlowRunFilter(parent_flow_run_id={"any_": [run]})
        return client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.START_TIME_ASC)


def ended(server: PrefectServer, run: UUID):
    """The state of a run once it is final."""
    wait_until(lambda: server.state(run).is_final(), "the run's end")
    return server.state(run)
