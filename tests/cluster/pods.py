"""The kubelet: a pod that has a node runs as processes of this machine, one group of them for each container.

When a container's first process ends, the rest of it is killed, as the end of PID 1 ends a real container: what it
started inherits an environment variable, by which it is found. Deleting sends SIGTERM to the process group, as
`tini -g` does, and SIGKILL to all when the grace is over.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

from cluster.deletion import delete
from cluster.environment import environment, expand
from cluster.store import Store, Thing, now
from cluster.volumes import Paths, Waiting, folders_of, prepare

MARK = "TEST_CLUSTER_CONTAINER"
RETRY = 0.3  # seconds until what a container waits for is looked for again


class Image(NamedTuple):
    """What stands for a container image. folders: paths in the image -> folders here; from folder, it starts there."""

    environment: dict[str, str]
    folders: dict[str, str]
    folder: str
    entrypoint: list[str]


class Pod:
    """A pod on this machine."""

    def __init__(self, store: Store, pod: Thing, folder: Path, claims: Path, images: dict[str, Image]) -> None:
        self._store, self._pod, self._images = store, pod, images
        self.folder, self._claims = folder, claims
        self.uid = pod["metadata"]["uid"]
        self.verdict = "Error"  # the reason that a killed container gets
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._ids = {name: f"test://{self.uid}/{name}" for name in container_names(pod)}
        self.task = asyncio.create_task(self._run())
        self.stopping: asyncio.Task[None] | None = None

    async def stop(self, grace: float) -> None:
        """SIGTERM, and after grace seconds SIGKILL; then the pod may go."""
        if not self._processes and not self.task.done():
            self.task.cancel()  # it was still waiting for something
            self._report("Failed")
        for process in self._processes.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
        await asyncio.wait({self.task}, timeout=grace)
        self.kill()
        await asyncio.wait({self.task})
        delete(self._store, self._pod, grace=0)

    def kill(self, reason: str = "Error") -> None:
        """SIGKILL to all that is left. reason: of the containers' end, Error or OOMKilled."""
        self.verdict = reason
        kill_marked(self.folder)

    async def _run(self) -> None:
        spec, succeeded = self._pod["spec"], True
        volumes = await self._volumes()
        for container in spec.get("initContainers", []):
            succeeded = succeeded and await self._container(container, volumes) == 0
        if succeeded:
            ends = await asyncio.gather(*(self._container(container, volumes) for container in spec["containers"]))
            succeeded = not any(ends)
        self._report("Succeeded" if succeeded else "Failed")

    async def _volumes(self) -> dict[str, Path]:
        while True:
            try:
                return prepare(self._store, self._pod, self.folder, self._claims)
            except Waiting as waiting:
                self._wait_for(waiting, container_names(self._pod))
                self._store.event(self._pod, "FailedMount", str(waiting))
            await asyncio.sleep(RETRY)

    async def _container(self, container: dict[str, Any], volumes: dict[str, Path]) -> int:
        """Run it to its end. Returns its exit code, 128 + the signal's number when one ended it."""
        name = container["name"]
        while True:
            try:
                process = await self._start(container, volumes)
                break
            except Waiting as waiting:
                self._wait_for(waiting, [name])
                self._store.event(self._pod, "Failed", f"Error: {waiting}")
            except OSError as error:
                self._end(name, now(), 128, "StartError", f"failed to create containerd task: {error}")
                return 128
            await asyncio.sleep(RETRY)
        self._processes[name] = process
        self._states[name] = {"running": {"startedAt": (started := now())}}
        self._report("Running" if container in self._pod["spec"]["containers"] else "Pending")
        code = await process.wait()
        code = code if code >= 0 else 128 - code
        kill_marked(self.folder / name)
        killed = code == 128 + signal.SIGKILL
        self._end(name, started, code, self.verdict if killed else "Error" if code else "Completed")
        return code

    async def _start(self, container: dict[str, Any], volumes: dict[str, Path]) -> asyncio.subprocess.Process:
        image = self._images.get(container["image"].partition("@")[0].rpartition(":")[0] or container["image"])
        if image is None:
            raise Waiting("ImagePullBackOff", f'Back-off pulling image "{container["image"]}"')
        paths = Paths(image.folders | folders_of(container, volumes))
        given = environment(self._store, self._pod, container)
        command = [expand(part, given) for part in self._command(container, image)]
        where = Path(paths.rewrite(container.get("workingDir") or image.folder))
        own = {"HOME": str(self.folder), "HOSTNAME": self._pod["metadata"]["name"],
               MARK: str(self.folder / container["name"])}  # fmt: skip
        if temporary := folders_of(container, volumes).get("/tmp"):
            own["TMPDIR"] = temporary
        known = image.environment | own | {key: paths.rewrite(value) for key, value in given.items()}
        with self.log(container["name"]).open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *(paths.rewrite(part) for part in command), cwd=where, env=known, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def _command(self, container: dict[str, Any], image: Image) -> list[str]:
        command = [*(container.get("command") or image.entrypoint), *(container.get("args") or [])]
        if command and Path(command[0]).name == "tini":  # its part is played here
            command = command[command.index("--") + 1 :]
        if not command:
            raise Waiting("CreateContainerError", "no command specified")
        return command

    def log(self, container: str) -> Path:
        """What the container has printed."""
        return self.folder / f"{container}.log"

    def _wait_for(self, waiting: Waiting, names: list[str]) -> None:
        for name in names:
            self._states[name] = {"waiting": {"reason": waiting.reason, "message": str(waiting)}}
        self._report("Pending")

    def _end(self, name: str, started: str, code: int, reason: str, message: str = "") -> None:
        end = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now(),
               "containerID": self._ids[name]}  # fmt: skip
        self._states[name] = {"terminated": end | ({"message": message} if message else {})}
        self._report(None)

    def _report(self, phase: str | None) -> None:
        """Write the pod's status. None: the phase stays."""

        def edit(copy: Thing) -> None:
            status, spec = copy["status"], copy["spec"]
            status.setdefault("startTime", now())
            status |= {"hostIP": "127.0.0.1", "podIP": "127.0.0.1"} | ({"phase": phase} if phase else {})
            status["containerStatuses"] = [self._status(container) for container in spec["containers"]]
            if "initContainers" in spec:
                status["initContainerStatuses"] = [self._status(container) for container in spec["initContainers"]]
            ready = all(one["ready"] for one in status["containerStatuses"])
            for kind in ("Ready", "ContainersReady"):
                _set_condition(status, {"type": kind, "status": "True" if ready else "False"})

        self._store.change(self._pod, edit)

    def _status(self, container: dict[str, Any]) -> dict[str, Any]:
        name, image = container["name"], container["image"]
        state = self._states.get(name, {"waiting": {"reason": "ContainerCreating"}})
        running = "running" in state
        return {"name": name, "image": image, "imageID": image, "containerID": self._ids[name], "restartCount": 0,
                "ready": running, "started": running, "state": state, "lastState": {}}  # fmt: skip


class Kubelet:
    def __init__(self, store: Store, folder: Path, images: dict[str, Image]) -> None:
        self._store, self._folder, self._images = store, folder, images
        self.pods: dict[str, Pod] = {}  # by uid

    def sync(self) -> None:
        """Start pods that have a node, stop those that are deleted, forget those that are gone."""
        living = {pod["metadata"]["uid"]: pod for pod in self._store.list("Pod")}
        for uid, thing in living.items():
            metadata = thing["metadata"]
            if uid not in self.pods:
                if "deletionTimestamp" in metadata:  # it never had a node
                    self._store.change(thing, lambda copy: copy["status"].update(phase="Failed"))
                    delete(self._store, thing, grace=0)
                elif "nodeName" in thing["spec"]:
                    folder = self._folder / "pods" / f"{metadata['namespace']}_{metadata['name']}_{uid[:8]}"
                    folder.mkdir(parents=True)
                    self.pods[uid] = Pod(self._store, thing, folder, self._folder / "claims", self._images)
            elif "deletionTimestamp" in metadata and self.pods[uid].stopping is None:
                stop = self.pods[uid].stop(metadata["deletionGracePeriodSeconds"])
                self.pods[uid].stopping = asyncio.create_task(stop)
        for pod in self.pods.values():
            if pod.task.done() and not pod.task.cancelled():
                pod.task.result()  # raises what went wrong in here
        for uid in self.pods.keys() - living.keys():
            pod = self.pods.pop(uid)
            pod.kill()  # deleted without grace
            shutil.rmtree(pod.folder, ignore_errors=True)
        for folder in (self._folder / "claims").glob("*/*"):
            if self._store.get("PersistentVolumeClaim", folder.parent.name, folder.name) is None:
                shutil.rmtree(folder, ignore_errors=True)


def kill_marked(mark: Path) -> None:
    """SIGKILL to every process of a container (folder/name), a pod or a cluster (their folders), until none is left."""
    wanted = f"{MARK}={mark}".encode()
    whole, part = {wanted}, wanted + b"/"
    while victims := [pid for pid, variables in _environments()
                      if any(one in whole or one.startswith(part) for one in variables)]:  # fmt: skip
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _environments() -> list[tuple[int, list[bytes]]]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            found.append((int(process.name), (process / "environ").read_bytes().split(b"\0")))
    return found


def container_names(pod: Thing) -> list[str]:
    return [container["name"] for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"])]


def _set_condition(status: dict[str, Any], condition: dict[str, Any]) -> None:
    old = next((one for one in status["conditions"] if one["type"] == condition["type"]), None)
    if old is None or old["status"] != condition["status"]:
        others = [one for one in status["conditions"] if one is not old]
        status["conditions"] = [*others, condition | {"lastTransitionTime": now()}]
