"""The HTTP side: who asks for what, and the answer. One address for everything, read as Kubernetes reads it."""

import asyncio
import contextlib
import copy
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cluster import admission
from cluster.access import Access, User, asked_for
from cluster.deletion import delete
from cluster.kinds import KINDS, Kind, discovery
from cluster.logs import follow
from cluster.patches import patched
from cluster.pods import Kubelet, container_names
from cluster.refusals import Refusal, bad_request, expired, forbidden, not_found
from cluster.selection import picks, selects
from cluster.store import Store, Thing, now

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/(?!status$)))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<below>[^/]+))?)?"
)
BOOKMARK = 5.0  # seconds
OURS = ("uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds")


class Target(NamedTuple):
    kind: Kind
    namespace: str
    name: str
    below: str


class Api:
    def __init__(self, store: Store, access: Access, kubelet: Kubelet, version: str) -> None:
        self._store, self._access, self._kubelet, self._version = store, access, kubelet, version

    async def answer(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return JSONResponse(refusal.status, refusal.code)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.rstrip("/")
        if path in ("/readyz", "/healthz", "/livez"):
            return Response("ok")
        user = self._access.user(request.headers.get("Authorization", ""))
        if path.startswith("/testing/"):
            return await self._testing(path.removeprefix("/testing/"), user, request)
        document = discovery(path, self._version)
        if document is not None:
            return JSONResponse(document)
        body = await _json(request)
        target, query = _target(path), dict(request.query_params)
        verb = _verb(request.method, target, query)
        self._access.require(user, asked_for(verb, target.kind, target.below, target.namespace, target.name))
        if verb in ("list", "watch"):
            return self._watch(target, query) if verb == "watch" else self._list(target, query)
        if verb == "deletecollection":
            return self._delete_all(target, query, body)
        if verb == "create" and not target.name:
            return self._create(target, query, body)
        thing = self._store.get(target.kind.kind, target.namespace, target.name)
        if thing is None:
            raise not_found(target.kind.resource, target.name)
        if target.below in ("log", "eviction", "token"):
            return self._below(target.below, thing, query, body)
        match verb:
            case "update":
                return self._change(target, thing, body)
            case "patch":
                media_type = request.headers["Content-Type"].partition(";")[0]
                return self._change(target, thing, patched(thing, body, media_type))
            case "delete":
                return self._delete(thing, query, body)
        return JSONResponse(thing)

    def _create(self, target: Target, query: dict[str, str], thing: Thing) -> Response:
        thing = {"apiVersion": target.kind.api_version, "kind": target.kind.kind} | thing  # a client may leave them out
        if thing["kind"] != target.kind.kind:
            raise bad_request(f"the kind in the body is {thing['kind']}, not {target.kind.kind}")
        metadata = thing.setdefault("metadata", {})
        admission.check_schema(thing, self._version)
        for given in (*OURS, "managedFields"):
            metadata.pop(given, None)
        if target.namespace:
            if metadata.setdefault("namespace", target.namespace) != target.namespace:
                raise bad_request("the namespace of the provided object is not the namespace of the request")
        elif target.kind.namespaced:
            raise bad_request("an object of this kind is made in a namespace")
        admission.name(thing)
        admission.check_sense(thing, None)
        admission.prepare(thing)
        admission.check_new(self._store, thing)
        headers = [("Warning", f"299 - {json.dumps(text)}") for text in admission.warnings(self._store, thing)]
        if query.get("dryRun") != "All":
            thing = self._store.add(thing)
            if thing["kind"] == "Namespace":
                account = {"name": "default", "namespace": metadata["name"]}
                self._store.add({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        return JSONResponse(thing, 201, headers=dict(headers))

    def _change(self, target: Target, before: Thing, thing: Thing) -> Response:
        thing = {"apiVersion": target.kind.api_version, "kind": target.kind.kind} | thing
        admission.check_schema(thing, self._version)
        admission.check_same(thing, before)
        admission.check_sense(thing, before)
        status_alone = target.below == "status"

        def edit(new: Thing) -> None:
            if status_alone:
                new["status"] = thing.get("status", {})
                return
            kept = {part: new[part] for part in ("status",) if part in new and "status" in target.kind.below}
            metadata = {name: new["metadata"][name] for name in OURS if name in new["metadata"]}
            new.clear()
            new.update(copy.deepcopy(thing) | kept)
            new["metadata"] |= metadata
            if new["kind"] == "Secret":
                admission.prepare(new)

        return JSONResponse(self._store.change(before, edit))

    def _delete(self, thing: Thing, query: dict[str, str], body: Any) -> Response:
        grace, order = _options(query, body)
        wanted = (body or {}).get("preconditions", {}).get("uid", thing["metadata"]["uid"])
        if wanted != thing["metadata"]["uid"]:
            raise Refusal(409, "Conflict", f"the UID in the precondition ({wanted}) does not match")
        gone = delete(self._store, thing, grace, order)
        if self._store.get(thing["kind"], thing["metadata"].get("namespace", ""), thing["metadata"]["name"]):
            return JSONResponse(gone)
        details = {"name": thing["metadata"]["name"], "uid": thing["metadata"]["uid"]}
        return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details})

    def _delete_all(self, target: Target, query: dict[str, str], body: Any) -> Response:
        for thing in self._chosen(target, query):
            delete(self._store, thing, *_options(query, body))
        return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _chosen(self, target: Target, query: dict[str, str]) -> list[Thing]:
        things = self._store.list(target.kind.kind, target.namespace or None)
        return [thing for thing in things if _fits(target, query, thing)]

    def _list(self, target: Target, query: dict[str, str]) -> Response:
        things, kind = self._chosen(target, query), target.kind
        return JSONResponse({"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "items": things,
                             "metadata": {"resourceVersion": str(self._store.version)}})  # fmt: skip

    def _watch(self, target: Target, query: dict[str, str]) -> Response:
        since = int(query.get("resourceVersion") or 0)
        if since > self._store.version:
            raise expired(f"too large resource version: {since}, current: {self._store.version}")
        return StreamingResponse(self._changes(target, query, since), media_type="application/json")

    async def _changes(self, target: Target, query: dict[str, str], since: int) -> AsyncIterator[bytes]:
        """The stream of a watch: what there is (without a resourceVersion), then each change, and bookmarks."""
        if since == 0:
            things, since = self._chosen(target, query), self._store.version
            for thing in things:
                yield _line("ADDED", thing)
        end = time.monotonic() + float(query.get("timeoutSeconds", 3600))
        try:
            async with self._store.watch(since) as queue:
                while (left := end - time.monotonic()) > 0:
                    try:
                        change = await asyncio.wait_for(queue.get(), min(BOOKMARK, left))
                    except TimeoutError:
                        if _yes(query, "allowWatchBookmarks"):
                            yield _line("BOOKMARK", _bookmark(target.kind, self._store.version))
                        continue
                    if change is None:
                        return
                    before, after = (thing if thing and _fits(target, query, thing) else None for thing in change[1:])
                    if after is not None:
                        yield _line("MODIFIED" if before else "ADDED", after)
                    elif before is not None:
                        yield _line("DELETED", (change.after or before))
        except Refusal as refusal:
            yield _line("ERROR", refusal.status)

    def _below(self, below: str, thing: Thing, query: dict[str, str], body: Any) -> Response:
        if below == "log":
            return self._log(thing, query)
        if below == "token":
            status = {"token": self._access.token(thing), "expirationTimestamp": "2099-01-01T00:00:00Z"}
            return JSONResponse({**(body or {}), "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
                                 "status": status}, 201)  # fmt: skip
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                     "message": "Eviction API: evicting", "lastTransitionTime": now()}  # fmt: skip
        self._store.change(thing, lambda copy: copy["status"]["conditions"].append(condition))
        grace, _ = _options({}, (body or {}).get("deleteOptions"))
        delete(self._store, thing, grace)
        return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}, 201)

    def _log(self, thing: Thing, query: dict[str, str]) -> Response:
        names, whole = container_names(thing), thing["metadata"]["name"]
        name = query.get("container") or thing["spec"]["containers"][0]["name"]
        if name not in names:
            raise bad_request(f"container {name} is not valid for pod {whole}")
        if _yes(query, "previous"):
            raise bad_request(f'previous terminated container "{name}" in pod "{whole}" not found')
        pod = self._kubelet.pods.get(thing["metadata"]["uid"])
        if pod is None or not pod.log(name).exists():
            raise bad_request(f'container "{name}" in pod "{whole}" is waiting to start: ContainerCreating')
        tail = int(query["tailLines"]) if "tailLines" in query else None
        done = pod.task.done if _yes(query, "follow") else lambda: True
        return StreamingResponse(follow(pod.log(name), tail, done), media_type="text/plain")

    async def _testing(self, what: str, user: User, request: Request) -> Response:
        """What a test may do to the cluster, and no client can: for the administrator's token alone."""
        if "system:masters" not in user.groups:
            raise forbidden("only the administrator may do this")
        match what:
            case "forget":
                self._store.forget()
            case "disconnect":
                self._store.disconnect()
            case "kill":
                said = await request.json()
                thing = self._store.get("Pod", said["namespace"], said["pod"])
                if thing is None or thing["metadata"]["uid"] not in self._kubelet.pods:
                    raise not_found("pods", said["pod"])
                self._kubelet.pods[thing["metadata"]["uid"]].kill(said["reason"])
            case _:
                raise not_found("testing", what)
        return JSONResponse({})


def _target(path: str) -> Target:
    found = _PATH.fullmatch(path)
    kind = next((kind for kind in KINDS.values() if found and kind.plural == found["plural"]
                 and kind.group == (found["group"] or "")), None)  # fmt: skip
    below = (found and found["below"]) or ""
    if found is None or kind is None or (below and below not in kind.below):
        raise Refusal(404, "NotFound", "the server could not find the requested resource")
    return Target(kind, found["namespace"] or "", found["name"] or "", below)


def _verb(method: str, target: Target, query: dict[str, str]) -> str:
    match method:
        case "GET" | "HEAD":
            return "get" if target.name else "watch" if _yes(query, "watch") else "list"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
    verb = {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "")
    if not verb or (verb == "create") == bool(target.name and target.below not in ("eviction", "token")):
        raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return verb


def _yes(query: dict[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true")


def _fits(target: Target, query: dict[str, str], thing: Thing) -> bool:
    metadata = thing["metadata"]
    here = thing["kind"] == target.kind.kind and target.namespace in ("", metadata.get("namespace", ""))
    return (here and selects(query.get("labelSelector", ""), metadata.get("labels") or {})
            and picks(query.get("fieldSelector", ""), thing))  # fmt: skip


def _options(query: dict[str, str], body: Any) -> tuple[int | None, str | None]:
    """Grace in seconds, and the order of deletion."""
    said = (body or {}) | query
    grace, order = said.get("gracePeriodSeconds"), said.get("propagationPolicy")
    if order not in (None, "Foreground", "Background", "Orphan"):
        raise bad_request(f"invalid propagationPolicy: {order}")
    return None if grace is None else int(grace), order


def _line(kind: str, thing: Any) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def _bookmark(kind: Kind, version: int) -> dict[str, Any]:
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"resourceVersion": str(version)}}


async def _json(request: Request) -> Any:
    body = await request.body()
    if not body:
        return None
    if "json" not in request.headers.get("Content-Type", "application/json"):
        raise Refusal(415, "UnsupportedMediaType", "this test server reads JSON alone")
    with contextlib.suppress(ValueError):
        return json.loads(body)
    raise bad_request("the body of the request is not JSON")
