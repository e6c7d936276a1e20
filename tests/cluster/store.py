"""The objects, the number of each change, and who watches them. One thread, and nothing here awaits while it writes."""

import asyncio
import contextlib
import copy
import datetime
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

from cluster.kinds import KINDS
from cluster.refusals import conflict, expired

Thing = dict[str, Any]  # a Kubernetes object as JSON. What the store hands out is never changed in place.
MEMORY = 1000  # changes that a watch may go back


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(time: str) -> float:
    """Seconds since then."""
    then = datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()


def key(thing: Thing) -> tuple[str, str, str]:
    return thing["kind"], thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


class Change(NamedTuple):
    version: int
    before: Thing | None
    after: Thing | None


class Store:
    def __init__(self) -> None:
        self.version = 1
        self.changed = asyncio.Event()  # for the controllers
        self._things: dict[tuple[str, str, str], Thing] = {}
        self._changes: deque[Change] = deque(maxlen=MEMORY)
        self._forgotten = 0  # the last change that a watch can no longer be told of
        self._watches: set[asyncio.Queue[Change | None]] = set()

    def get(self, kind: str, namespace: str, name: str) -> Thing | None:
        return self._things.get((kind, namespace, name))

    def list(self, kind: str, namespace: str | None = None) -> list[Thing]:
        """In the order of their making."""
        return [
            thing for (one, where, _), thing in self._things.items()
            if one == kind and (namespace is None or where == namespace)
        ]  # fmt: skip

    def __iter__(self) -> Iterator[Thing]:
        return iter(list(self._things.values()))

    def add(self, thing: Thing) -> Thing:
        """Gives it a uid, if it has none, and a time. Refuses a name that is taken."""
        if key(thing) in self._things:
            what = KINDS[thing["kind"]].resource
            refusal = conflict(f'{what} "{thing["metadata"]["name"]}" already exists')
            refusal.reason = "AlreadyExists"
            raise refusal
        thing = copy.deepcopy(thing)
        thing["metadata"] |= {"creationTimestamp": now(), "generation": 1}
        thing["metadata"].setdefault("uid", str(uuid.uuid4()))
        return self._write(None, thing)

    def change(self, thing: Thing, edit: Callable[[Thing], None]) -> Thing | None:
        """Edit a copy of the newest state of this very object. None: it is gone. What changes nothing is no change."""
        before = self._things.get(key(thing))
        if before is None or before["metadata"]["uid"] != thing["metadata"]["uid"]:
            return None
        after = copy.deepcopy(before)
        edit(after)
        if after == before:
            return before
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        if may_go(after):
            self.remove(after)
            return after
        return self._write(before, after)

    def remove(self, thing: Thing) -> None:
        before = self._things.pop(key(thing), None)
        if before is not None:
            self._tell(before, None)

    def event(self, about: Thing, reason: str, message: str) -> None:
        """A Warning, seen by `kubectl describe`; said once."""
        metadata = about["metadata"]
        said = (event for event in self.list("Event", metadata["namespace"])
                if event["involvedObject"]["uid"] == metadata["uid"])  # fmt: skip
        if any((event["reason"], event["message"]) == (reason, message) for event in said):
            return
        name, time = f"{metadata['name']}.{uuid.uuid4().hex[:16]}", now()
        involved = {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": metadata["name"],
                    "namespace": metadata["namespace"], "uid": metadata["uid"]}  # fmt: skip
        self.add({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": metadata["namespace"]},
                  "involvedObject": involved, "type": "Warning", "reason": reason, "message": message, "count": 1,
                  "firstTimestamp": time, "lastTimestamp": time, "source": {"component": "tests"}})  # fmt: skip

    def forget(self) -> None:
        """As when the history is compacted: a watch from an earlier change gets 410 Gone."""
        self._changes.clear()
        self._forgotten = self.version

    def disconnect(self) -> None:
        """End every watch, as a server that is restarted."""
        for queue in self._watches:
            queue.put_nowait(None)

    @contextlib.asynccontextmanager
    async def watch(self, since: int) -> AsyncIterator["asyncio.Queue[Change | None]"]:
        """A queue of the changes after `since`; None in it ends the watch. Refusal: they are forgotten."""
        if since < self._forgotten:
            raise expired(f"too old resource version: {since} ({self._forgotten + 1})")
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        for change in self._changes:
            if change.version > since:
                queue.put_nowait(change)
        self._watches.add(queue)
        try:
            yield queue
        finally:
            self._watches.discard(queue)

    def _write(self, before: Thing | None, after: Thing) -> Thing:
        self._things[key(after)] = after
        self._tell(before, after)
        return after

    def _tell(self, before: Thing | None, after: Thing | None) -> None:
        self.version += 1
        if after is not None:
            after["metadata"]["resourceVersion"] = str(self.version)
        elif before is not None:  # the last event of an object bears the number of its removal
            before = copy.deepcopy(before)
            before["metadata"]["resourceVersion"] = str(self.version)
        if len(self._changes) == MEMORY:
            self._forgotten = self._changes[0].version
        change = Change(self.version, before, after)
        self._changes.append(change)
        for queue in self._watches:
            queue.put_nowait(change)
        self.changed.set()


def may_go(thing: Thing) -> bool:
    """Whether an object that was deleted may leave: a pod once its node confirms its end, a namespace once empty."""
    metadata = thing["metadata"]
    ended = thing["kind"] != "Pod" or metadata.get("deletionGracePeriodSeconds") == 0
    ended = ended and not (thing["kind"] == "Namespace" and thing["spec"].get("finalizers"))
    return "deletionTimestamp" in metadata and not metadata.get("finalizers") and ended
