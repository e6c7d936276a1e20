"""Pod security: what the level "restricted" of a namespace's label asks of a pod."""

from typing import Any

from cluster.refusals import forbidden
from cluster.store import Thing

LABEL = "pod-security.kubernetes.io/"
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def check(namespace: Thing, pod: Thing) -> None:
    """Refusal 403, as Kubernetes words it. Levels other than restricted (and privileged) are not known here."""
    labels = namespace["metadata"].get("labels", {})
    wrong = violations(pod["spec"]) if labels.get(LABEL + "enforce") == "restricted" else []
    if wrong:
        version = labels.get(LABEL + "enforce-version", "latest")
        name = pod["metadata"].get("name", "")
        raise forbidden(f'pods "{name}" is forbidden: violates PodSecurity "restricted:{version}": {", ".join(wrong)}')


def violations(spec: dict[str, Any]) -> list[str]:
    of_pod = spec.get("securityContext") or {}
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    secured = [(container["name"], container.get("securityContext") or {}) for container in containers]

    def bad(broken: Any) -> str:
        names = [f'"{name}"' for name, context in secured if broken(context)]
        return f"({'container' if len(names) == 1 else 'containers'} {', '.join(names)})" if names else ""

    def root(context: dict[str, Any]) -> bool:
        return not context.get("runAsNonRoot", of_pod.get("runAsNonRoot", False))

    def unconfined(context: dict[str, Any]) -> bool:
        profile = context.get("seccompProfile", of_pod.get("seccompProfile")) or {}
        return profile.get("type") not in ("RuntimeDefault", "Localhost")

    def capable(context: dict[str, Any]) -> bool:
        said = context.get("capabilities") or {}
        return "ALL" not in said.get("drop", []) or bool(set(said.get("add", [])) - {"NET_BIND_SERVICE"})

    host = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    volumes = [volume["name"] for volume in spec.get("volumes", []) if not VOLUMES & volume.keys()]
    ports = any(port.get("hostPort") for container in containers for port in container.get("ports", []))
    as_zero = of_pod.get("runAsUser") == 0 and "(pod)"
    found = {
        f"host namespaces ({', '.join(host)})": host,
        "hostPort": ports,
        f"restricted volume types (volumes {', '.join(volumes)})": volumes,
        "privileged": bad(lambda context: context.get("privileged")),
        "allowPrivilegeEscalation != false": bad(lambda context: context.get("allowPrivilegeEscalation") is not False),
        'unrestricted capabilities: must set securityContext.capabilities.drop=["ALL"]': bad(capable),
        "runAsNonRoot != true": bad(root),
        "runAsUser=0": bad(lambda context: context.get("runAsUser") == 0) or as_zero,
        'seccompProfile: must be "RuntimeDefault" or "Localhost"': bad(unconfined),
    }
    return [f"{what} {where}".strip() if isinstance(where, str) else what for what, where in found.items() if where]
