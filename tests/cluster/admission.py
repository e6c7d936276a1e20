"""What happens to an object on its way in: strict schema, sense, defaults, the namespace's rules."""

import base64
import functools
import re
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from cluster import quota, security
from cluster.kinds import KINDS
from cluster.quantities import amount
from cluster.refusals import bad_request, conflict, forbidden, invalid, not_found
from cluster.store import Store, Thing

_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_RBAC_KINDS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")  # any name will do
_NOT_HERE = ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "managedBy")


def name(thing: Thing) -> None:
    """Give it a name of its own, in place, if it asks for one."""
    metadata = thing["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        alphabet = "bcdfghjklmnpqrstvwxz2456789"
        metadata["name"] = metadata["generateName"][:58] + "".join(secrets.choice(alphabet) for _ in range(5))


def prepare(thing: Thing) -> None:
    """Fill in, in place, what the API server fills in when an object is made."""
    match thing["kind"]:
        case "Secret":
            plain = thing.pop("stringData", None) or {}
            encoded = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
            thing["data"] = (thing.get("data") or {}) | encoded
            thing.setdefault("type", "Opaque")
        case "Pod":
            defaults_of_pod(thing["spec"])
            thing["status"] = {"phase": "Pending", "conditions": []}
        case "Job":
            spec = thing["spec"]
            for name, value in (("parallelism", 1), ("completions", spec.get("parallelism", 1)), ("backoffLimit", 6),
                                ("completionMode", "NonIndexed"), ("suspend", False),
                                ("podReplacementPolicy", "TerminatingOrFailed")):  # fmt: skip
                spec.setdefault(name, value)
            defaults_of_pod(spec["template"]["spec"])
            _label_job(thing)
            thing["status"] = {}
        case "Namespace":
            thing.setdefault("spec", {"finalizers": ["kubernetes"]})
            thing["status"] = {"phase": "Active"}
        case "PersistentVolumeClaim":
            thing["status"] = {"phase": "Bound"}


def defaults_of_pod(spec: dict[str, Any]) -> None:
    for name, value in (("restartPolicy", "Always"), ("terminationGracePeriodSeconds", 30),
                        ("serviceAccountName", "default"), ("dnsPolicy", "ClusterFirst")):  # fmt: skip
        if spec.get(name) is None:
            spec[name] = value
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        container.setdefault("imagePullPolicy", "IfNotPresent")


def _label_job(job: Thing) -> None:
    """The selector and the labels by which its pods are found: `kubectl logs job/NAME`, Prefect's observer."""
    metadata, template = job["metadata"], job["spec"]["template"]
    uid = metadata["uid"] = str(uuid.uuid4())
    labels = {"job-name": metadata["name"], "batch.kubernetes.io/job-name": metadata["name"],
              "controller-uid": uid, "batch.kubernetes.io/controller-uid": uid}  # fmt: skip
    template["metadata"] = template.get("metadata") or {}
    template["metadata"]["labels"] = (template["metadata"].get("labels") or {}) | labels
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def check_new(store: Store, thing: Thing) -> None:
    """What the namespace says to a new object. Refusal 403 or 404."""
    namespace = thing["metadata"].get("namespace", "")
    if KINDS[thing["kind"]].namespaced:
        home = store.get("Namespace", "", namespace)
        if home is None:
            raise not_found("namespaces", namespace)
        if "deletionTimestamp" in home["metadata"]:
            raise forbidden(f"unable to create new content in namespace {namespace} because it is being terminated")
        if thing["kind"] == "Pod":
            security.check(home, thing)
            account = thing["spec"]["serviceAccountName"]
            if store.get("ServiceAccount", namespace, account) is None:
                name = thing["metadata"]["name"]
                raise forbidden(f'pods "{name}" is forbidden: error looking up service account {namespace}/{account}: '
                                f'serviceaccount "{account}" not found')  # fmt: skip
    quota.check(store, thing)


def warnings(store: Store, thing: Thing) -> list[str]:
    """What a client is told beside the answer: a Job is taken though its pods will be refused."""
    home = store.get("Namespace", "", thing["metadata"].get("namespace", ""))
    restricted = home and home["metadata"].get("labels", {}).get(security.LABEL + "enforce") == "restricted"
    wrong = security.violations(thing["spec"]["template"]["spec"]) if thing["kind"] == "Job" and restricted else []
    return [f'would violate PodSecurity "restricted:latest": {", ".join(wrong)}'] if wrong else []


def check_schema(thing: Thing, version: str) -> None:
    """Refusal 400 or 422. Always as strict as kubectl asks for; a real server only warns those who do not ask."""
    kind = KINDS[thing["kind"]]
    if thing["apiVersion"] != kind.api_version:
        raise bad_request(f'no kind "{kind.kind}" is registered for version "{thing["apiVersion"]}"')
    unknown, missing, other = [], [], []
    for error in _validator(version, kind.kind, kind.group, kind.version).iter_errors(thing):
        where = _path([str(part) if isinstance(part, str) else part for part in error.absolute_path])
        if error.validator == "additionalProperties":
            fields = error.instance.keys() - error.schema.get("properties", {}).keys()
            unknown += [f'unknown field "{where + "." if where else ""}{field}"' for field in sorted(fields)]
        elif error.validator == "required":
            fields = [field for field in error.validator_value if field not in error.instance]
            missing += [f"{where + '.' if where else ''}{field}: Required value" for field in fields]
        else:
            other.append(f"{where}: {error.message}")
    if unknown:
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                          f"strict decoding error: {', '.join(unknown)}")  # fmt: skip
    if other:
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                          f"{'; '.join(other)}")  # fmt: skip
    if missing:
        raise invalid(thing, *missing)


@functools.cache
def _validator(version: str, kind: str, group: str, api_version: str) -> Draft202012Validator:
    available = f"kubernetes-json-schema/v{version}.0-local-strict"
    name = f"{kind.lower()}-{group.split('.')[0] + '-' if group else ''}{api_version}.json"
    schema = schema_contents(f"{available}/{name}", version)
    known = Registry().with_resource("_definitions.json", _definitions(version))
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ known)


@functools.cache
def _definitions(version: str) -> Any:
    path = f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json"
    return Resource.from_contents(schema_contents(path, version))


def _path(parts: list[Any]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def check_sense(thing: Thing, before: Thing | None) -> None:
    """Refusal 422 for what a schema cannot say. before: the object as it was, when it is changed."""
    metadata = thing["metadata"]
    causes = []
    name = metadata.get("name", "")
    if not name:
        causes.append("metadata.name: Required value: name or generateName is required")
    elif thing["kind"] not in _RBAC_KINDS and (len(name) > (63 if thing["kind"] == "Job" else 253)
                                               or not _NAME.fullmatch(name)):  # fmt: skip
        causes.append(f'metadata.name: Invalid value: "{name}": must be a lowercase RFC 1123 name, and short enough')
    causes += _labels("metadata.labels", metadata)
    spec = thing.get("spec") or {}
    if thing["kind"] == "Job":
        causes += [f"spec.{field}: not known to this test server" for field in _NOT_HERE if field in spec]
        causes += _labels("spec.template.metadata.labels", spec["template"].get("metadata") or {})
        if spec["template"]["spec"].get("restartPolicy") != "Never":
            causes.append('spec.template.spec.restartPolicy: Unsupported value: this test server knows "Never" alone '
                          "(Kubernetes: OnFailure too)")  # fmt: skip
        causes += _pod("spec.template.spec", spec["template"]["spec"])
        if before is not None:
            fixed = [field for field in ("template", "selector", "completions")
                     if spec.get(field) != before["spec"].get(field)]  # fmt: skip
            causes += [f"spec.{field}: Invalid value: field is immutable" for field in fixed]
    if thing["kind"] == "Pod":
        causes += _pod("spec", spec)
        if before is not None and spec != before["spec"]:
            causes.append("spec: Forbidden: pod updates may not change fields")
    if causes:
        raise invalid(thing, *causes)


def _labels(where: str, metadata: dict[str, Any]) -> Iterator[str]:
    for name, value in (metadata.get("labels") or {}).items():
        if not _LABEL.fullmatch(value) or not _LABEL.fullmatch(name.rpartition("/")[2]):
            yield f'{where}: Invalid value: "{name}={value}": a label has at most 63 letters, digits, "-", "_" and "."'


def _pod(where: str, spec: dict[str, Any]) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    if len({container["name"] for container in containers}) < len(containers):
        yield f"{where}.containers: Duplicate value"
    if any(container.get("restartPolicy") for container in containers):
        yield f"{where}.initContainers: sidecars are not known to this test server"
    for number, container in enumerate(containers):
        here = f"{where}.containers[{number}]"
        if not container.get("image"):
            yield f"{here}.image: Required value"
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in volumes:
                yield f'{here}.volumeMounts: Not found: "{mount["name"]}"'
        resources = container.get("resources") or {}
        try:
            limits, requests = ({name: amount(value) for name, value in (resources.get(which) or {}).items()}
                                for which in ("limits", "requests"))  # fmt: skip
        except ValueError as error:
            yield f"{here}.resources: Invalid value: {error}"
            continue
        over = [name for name in requests if name in limits and requests[name] > limits[name]]
        for name in over:
            yield f"{here}.resources.requests: Invalid value: must be less than or equal to {name} limit"
        for name in {name for name in requests | limits if "/" in name}:
            if requests.get(name, limits.get(name)) != limits.get(name):
                yield f"{here}.resources.limits: Required value: Limit must be set for non overcommitable {name}"


def check_same(thing: Thing, before: Thing) -> None:
    """Refusal 409: it was changed since the client read it."""
    said = thing["metadata"].get("resourceVersion")
    if said and said != before["metadata"]["resourceVersion"]:
        what = f'{KINDS[thing["kind"]].resource} "{before["metadata"]["name"]}"'
        raise conflict(f"Operation cannot be fulfilled on {what}: the object has been modified; please apply your "
                       "changes to the latest version and try again")  # fmt: skip
