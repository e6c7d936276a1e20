"""What infra/k8s and infra/prefect say, as data: the files, the overlays as kubectl renders them, and Jobs of a pool."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).parents[2]
K8S, TEMPLATES = REPO / "infra/k8s", sorted((REPO / "infra/prefect").glob("*.json"))
OVERLAYS = ("dev", "prod")
POOLS = tuple(path.stem for path in TEMPLATES)
IMAGE = "registry.example.com/understudy@sha256:" + "0123456789abcdef" * 4
Manifest = dict[str, Any]


@functools.cache
def written() -> list[Manifest]:
    """What the files of base/ hold, as they are."""
    files = sorted((K8S / "base").glob("*.yaml"))
    return [
        manifest
        for path in files
        if path.name != "kustomization.yaml"
        for manifest in yaml.safe_load_all(path.read_text())
    ]


@functools.cache
def rendered(overlay: str) -> list[Manifest]:
    """An overlay as it is applied. Skips the test where no kubectl is."""
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl")
    command = ["kubectl", "kustomize", str(K8S / "overlays" / overlay)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return list(yaml.safe_load_all(text))


def template(pool: str) -> dict[str, Any]:
    return json.loads((REPO / f"infra/prefect/{pool}.json").read_text())


# In a process of its own, one for all: Prefect takes seconds to import, reads the environment when it is, and must start no
# server for this.
RENDER = """
import asyncio, json, sys, uuid
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration as Configuration

async def render(template, values):
    configuration = await Configuration.from_template_and_values(template, values)
    run = FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="street-scenes-0123abc-teacher")
    configuration.prepare_for_flow_run(run)
    return configuration.job_manifest

for line in sys.stdin:
    print(json.dumps(asyncio.run(render(*json.loads(line)))), flush=True)
"""


@functools.cache
def _renderer() -> subprocess.Popen[str]:
    """It ends when this process does: its input is closed then."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": tempfile.mkdtemp(prefix="prefect"), "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    pipe = subprocess.PIPE
    renderer = subprocess.Popen([sys.executable, "-c", RENDER], env=environment, stdin=pipe, stdout=pipe, text=True)
    atexit.register(_end, renderer, environment["PREFECT_HOME"])
    return renderer


def _end(renderer: subprocess.Popen[str], home: str) -> None:
    renderer.communicate(timeout=60)
    shutil.rmtree(home, ignore_errors=True)


def job(pool: str, values: dict[str, Any]) -> Manifest:
    """The Job that the worker makes of a deployment's job variables."""
    renderer = _renderer()
    assert renderer.stdin is not None and renderer.stdout is not None
    renderer.stdin.write(json.dumps([template(pool), values]) + "\n")
    renderer.stdin.flush()
    answer = renderer.stdout.readline()
    assert answer, "the worker's code does not take this template: see standard error"
    return json.loads(answer)


@functools.cache
def jobs() -> dict[str, Manifest]:
    """By pool, the Job of a deployment that names an image and nothing else."""
    return {pool: job(pool, {"image": IMAGE}) for pool in POOLS}


def pod(manifest: Manifest) -> dict[str, Any] | None:
    """The pod's spec in a manifest that has one."""
    return manifest.get("spec", {}).get("template", {}).get("spec")


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    spec = pod(manifest) or {}
    return [*spec.get("initContainers", []), *spec.get("containers", [])]
