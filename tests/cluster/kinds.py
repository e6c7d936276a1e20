"""The kinds that the API knows, and the discovery documents that clients read first."""

from typing import Any, NamedTuple

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


class Kind(NamedTuple):
    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    below: tuple[str, ...] = ()  # subresources

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As Kubernetes names it in messages: jobs.batch"""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "")


RBAC = "rbac.authorization.k8s.io"
KINDS = {
    kind.kind: kind
    for kind in (
        Kind("Namespace", "namespaces", namespaced=False, short=("ns",), below=("status",)),
        Kind("Node", "nodes", namespaced=False, short=("no",), below=("status",)),
        Kind("Pod", "pods", short=("po",), below=("status", "log", "eviction")),
        Kind("Secret", "secrets"),
        Kind("ConfigMap", "configmaps", short=("cm",)),
        Kind("ServiceAccount", "serviceaccounts", short=("sa",), below=("token",)),
        Kind("Event", "events", short=("ev",)),
        Kind("ResourceQuota", "resourcequotas", short=("quota",), below=("status",)),
        Kind("LimitRange", "limitranges", short=("limits",)),
        Kind("PersistentVolumeClaim", "persistentvolumeclaims", short=("pvc",), below=("status",)),
        Kind("Service", "services", short=("svc",), below=("status",)),
        Kind("Job", "jobs", "batch", below=("status",)),
        Kind("CronJob", "cronjobs", "batch", short=("cj",), below=("status",)),
        Kind("Deployment", "deployments", "apps", short=("deploy",), below=("status",)),
        Kind("StatefulSet", "statefulsets", "apps", short=("sts",), below=("status",)),
        Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io", short=("netpol",)),
        Kind("Ingress", "ingresses", "networking.k8s.io", short=("ing",), below=("status",)),
        Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy", short=("pdb",), below=("status",)),
        Kind("PriorityClass", "priorityclasses", "scheduling.k8s.io", namespaced=False, short=("pc",)),
        Kind("StorageClass", "storageclasses", "storage.k8s.io", namespaced=False, short=("sc",)),
        Kind("Role", "roles", RBAC),
        Kind("RoleBinding", "rolebindings", RBAC),
        Kind("ClusterRole", "clusterroles", RBAC, namespaced=False),
        Kind("ClusterRoleBinding", "clusterrolebindings", RBAC, namespaced=False),
    )
}


def discovery(path: str, version: str) -> dict[str, Any] | None:
    """The document at this path, or None. version: of Kubernetes, "1.32"."""
    kinds = KINDS.values()
    groups = {kind.group: kind.version for kind in kinds if kind.group}
    if path == "/version":
        major, minor = version.split(".")
        return {"major": major, "minor": minor, "gitVersion": f"v{version}.0", "platform": "linux/amd64",
                "gitCommit": "", "gitTreeState": "clean", "buildDate": "", "goVersion": "", "compiler": ""}  # fmt: skip
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*item) for item in groups.items()]}
    if path == "/openapi/v3":
        roots = sorted({kind.path().rsplit("/", 1)[0].lstrip("/") for kind in kinds})
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    about = path.removeprefix("/openapi/v3")
    there = [kind for kind in kinds if kind.path().rsplit("/", 1)[0] == about]
    if there and about != path:
        return _openapi(there)
    if there:
        resources = [resource for kind in there for resource in _resources(kind)]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": there[0].api_version,
                "resources": resources}  # fmt: skip
    group = path.removeprefix("/apis/")
    return _group(group, groups[group]) | {"kind": "APIGroup", "apiVersion": "v1"} if group in groups else None


def _group(name: str, version: str) -> dict[str, Any]:
    this = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [this], "preferredVersion": this}


def _resources(kind: Kind) -> list[dict[str, Any]]:
    whole = {"name": kind.plural, "singularName": kind.kind.lower(), "namespaced": kind.namespaced, "kind": kind.kind,
             "verbs": VERBS, "shortNames": list(kind.short)}  # fmt: skip
    kinds_below = {"log": ("Pod", ["get"]), "eviction": ("Eviction", ["create"]), "token": ("TokenRequest", ["create"])}
    parts = []
    for part in kind.below:
        name, verbs = kinds_below.get(part, (kind.kind, ["get", "patch", "update"]))
        parts.append({"name": f"{kind.plural}/{part}", "singularName": "", "namespaced": kind.namespaced,
                      "kind": name, "verbs": verbs})  # fmt: skip
    return [whole, *parts]


def _openapi(kinds: list[Kind]) -> dict[str, Any]:
    """Just enough for kubectl to see that the server itself checks fields."""
    checked = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {}
    for kind in kinds:
        what = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        patch = {"parameters": checked, "responses": {}, "x-kubernetes-group-version-kind": what}
        paths[kind.path("{namespace}", "{name}")] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1"}, "paths": paths}
