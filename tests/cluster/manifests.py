"""Manifests for the tests."""

from typing import Any

Thing = dict[str, Any]


def job(namespace: str, script: str = "", name: str = "job", container: Thing | None = None, pod: Thing | None = None,
        **spec: Any) -> Thing:  # fmt: skip
    """A Job of one container that runs a script of bash, to the end."""
    one = {"name": "main", "image": "understudy:test", "command": ["bash", "-c", script], **(container or {})}
    template = {"restartPolicy": "Never", "containers": [one], **(pod or {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": namespace},
            "spec": {"backoffLimit": 0, "template": {"spec": template}, **spec}}  # fmt: skip


def thing(kind: str, namespace: str, name: str, api_version: str = "v1", **rest: Any) -> Thing:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}


def reader(namespace: str, account: str, *rules: Thing) -> list[Thing]:
    """A service account with a Role of these rules."""
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    role = {"apiGroup": rbac, "kind": "Role", "name": account}
    return [
        thing("ServiceAccount", namespace, account),
        thing("Role", namespace, account, f"{rbac}/v1", rules=list(rules)),
        thing("RoleBinding", namespace, account, f"{rbac}/v1", roleRef=role, subjects=[subject]),
    ]
