"""A Kubernetes cluster for tests: the project's own API server (tests/cluster) in a process of its own, on loopback."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.kinds import KINDS
from cluster.pods import kill_marked
from free_ports import free_port
from mlflow_server import wait_until

REPO = Path(__file__).parents[1]
Thing = dict[str, Any]


def project_image(*shared: Path) -> Thing:
    """What stands for the project's image: this repository, and the Python that runs the tests.

    shared: folders that pods see under their own names, though they be below a mount such as /tmp.
    """
    programs = Path(sys.executable).parent
    return {
        "environment": {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(REPO), "LANG": "C.UTF-8"},
        "folders": {"/opt/understudy": str(REPO), "/opt/understudy/.venv": str(programs.parent)}
        | {str(folder): str(folder) for folder in shared},
        "folder": "/opt/understudy",
        "entrypoint": [],
    }


def node(name: str, **allocatable: str) -> Thing:
    """A node. allocatable: cpu, memory, gpus."""
    if "gpus" in allocatable:
        allocatable["nvidia.com/gpu"] = allocatable.pop("gpus")
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {},
            "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}}  # fmt: skip


class Refused(Exception):
    """The API said no."""

    def __init__(self, status: Thing) -> None:
        super().__init__(status["message"])
        self.code: int = status["code"]
        self.reason: str = status["reason"]


class KubernetesCluster:
    """Not started yet. images: what stands for which image, by its name without the tag. version: of Kubernetes."""

    def __init__(self, folder: Path, images: dict[str, Thing], version: str = "1.32") -> None:
        self.folder, self.port, self.token = folder, free_port(), secrets.token_urlsafe(24)
        self._images, self._version = images, version
        self._process: subprocess.Popen | None = None

    def start(self, *nodes: Thing) -> None:
        """With these nodes; without any, one of 16 cores and one with 2 GPUs."""
        settings = {"port": self.port, "token": self.token, "version": self._version, "images": self._images}
        (self.folder / "settings.json").write_text(json.dumps(settings))
        with (self.folder / "server.txt").open("a") as output:
            command = [sys.executable, "-m", "cluster", str(self.folder)]
            self._process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPO / "tests")},
                                             cwd=self.folder, start_new_session=True,
                                             stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # fmt: skip
        wait_until(self._answers, "the cluster to answer")
        self.make(*(nodes or (node("plain", cpu="16", memory="64Gi"),
                              node("gpus", cpu="16", memory="64Gi", gpus="2"))))  # fmt: skip
        self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        self.kubeconfig = self._write_kubeconfig("admin", self.token, "default")

    def stop(self) -> None:
        """The server, and every process of every pod."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=20)
            self._process.kill()
            self._process.wait()
        kill_marked(self.folder)

    def request(self, method: str, path: str, body: Any = None, token: str | None = None) -> Thing:
        """The API's answer, asked as the administrator or with another's token. Refused: it said no."""
        try:
            with self.open(method, path, body, token) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)) from error

    def open(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """The answer as a file. urllib.error.HTTPError: it said no."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}", None if body is None else json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        context = ssl.create_default_context(cafile=self.folder / "certificate.pem")
        return urllib.request.urlopen(request, timeout=30, context=context)

    def make(self, *things: Thing) -> list[Thing]:
        """Make objects, as the administrator."""
        return [self.request("POST", _path(thing, named=False), thing) for thing in things]

    def make_all(self, manifests: str) -> list[Thing]:
        """Make every object of a YAML text with several documents."""
        return self.make(*(thing for thing in yaml.safe_load_all(manifests) if thing))

    def read(self, kind: str, namespace: str, name: str) -> Thing:
        return self.request("GET", KINDS[kind].path(namespace, name))

    def all(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Thing]:
        query = f"?labelSelector={urllib.request.quote(selector)}"
        return self.request("GET", KINDS[kind].path(namespace) + query)["items"]

    def account(self, namespace: str, name: str) -> Path:
        """A kubeconfig that holds a token of this service account."""
        path = KINDS["ServiceAccount"].path(namespace, name) + "/token"
        return self._write_kubeconfig(
            f"{namespace}-{name}", self.request("POST", path, {})["status"]["token"], namespace
        )

    def kubectl(self, *arguments: str, account: Path | None = None, given: str | None = None) -> "Said":
        """Run the real kubectl, as the administrator or with the kubeconfig of an account."""
        if shutil.which("kubectl") is None:
            pytest.skip("needs kubectl")
        environment = os.environ | {"KUBECONFIG": str(account or self.kubeconfig), "HOME": str(self.folder),
                                    "KUBECACHEDIR": str(self.folder / "kubecache")}  # fmt: skip
        return subprocess.run(["kubectl", *arguments], env=environment, input=given, text=True, capture_output=True,
                              timeout=120, cwd=self.folder)  # fmt: skip

    def log(self, namespace: str, pod: str) -> str:
        """What a pod's only container has printed so far."""
        path = KINDS["Pod"].path(namespace, pod) + "/log"
        with self.open("GET", path) as answer:
            return answer.read().decode()

    def evict(self, namespace: str, pod: str, grace: int | None = None) -> None:
        """Through the API for it, as draining a node does. grace: seconds; by default the pod's own."""
        body: Thing = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        if grace is not None:
            body["deleteOptions"] = {"gracePeriodSeconds": grace}
        self.request("POST", KINDS["Pod"].path(namespace, pod) + "/eviction", body)

    def kill(self, namespace: str, pod: str, reason: str = "Error") -> None:
        """SIGKILL to every process of a pod. reason: "Error", or "OOMKilled" as when it had used up its memory."""
        self.request("POST", "/testing/kill", {"namespace": namespace, "pod": pod, "reason": reason})

    def forget(self) -> None:
        """Compact the history, and end every watch: one that goes on from before is told 410 Gone."""
        self.request("POST", "/testing/forget")
        self.request("POST", "/testing/disconnect")

    def _write_kubeconfig(self, name: str, token: str, namespace: str) -> Path:
        cluster = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": str(self.folder / "certificate.pem"),
        }
        file = self.folder / f"{name}.kubeconfig"
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}], "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }))  # fmt: skip
        file.chmod(0o600)
        return file

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "server.txt").read_text()
        try:
            self.request("GET", "/version")
        except OSError:
            return False
        return True


Said = subprocess.CompletedProcess[str]


def _path(thing: Thing, named: bool = True) -> str:
    metadata = thing["metadata"]
    namespace = metadata.get("namespace", "default")
    return KINDS[thing["kind"]].path(namespace, metadata["name"] if named else None)


@contextlib.contextmanager
def running_cluster(folder: Path, *shared: Path) -> Iterator[KubernetesCluster]:
    """A cluster that runs within the block, with its pods, on the image `understudy`. shared: project_image's."""
    cluster = KubernetesCluster(folder, {"understudy": project_image(*shared)})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
