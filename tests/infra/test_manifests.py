"""infra/k8s: valid on two versions of Kubernetes, locked down, and one whole; and so the Jobs of infra/prefect."""

import functools
import json
import re
from importlib.util import find_spec
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from manifests import (
    IMAGE,
    K8S,
    OVERLAYS,
    POOLS,
    REPO,
    VERSIONS,
    containers,
    job,
    jobs,
    pod,
    rendered,
    template,
    written,
)

WHERE = ("written", *OVERLAYS, *POOLS)


def manifests(where: str) -> list[dict]:
    if where == "written":
        return written()
    return rendered(where) if where in OVERLAYS else [jobs()[where]]


def of(kind: str, where: str) -> dict[str, dict]:
    return {each["metadata"]["name"]: each for each in manifests(where) if each["kind"] == kind}


def selects(selector: dict, labels: dict[str, str]) -> bool:
    return set(selector.get("matchLabels", {}).items()) <= set(labels.items())


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("where", WHERE)
def test_they_are_valid_to_the_letter(where, version):
    for manifest in manifests(where):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("where", WHERE)
def test_every_container_is_locked_down(where):
    for manifest in manifests(where):
        spec = pod(manifest)
        if spec is None:
            continue
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        assert spec["enableServiceLinks"] is False
        for container in containers(manifest):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["limits"])
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["requests"])
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


@pytest.mark.parametrize("where", [*OVERLAYS, *POOLS])
def test_every_image_is_named_by_digest(where):
    images = [container["image"] for manifest in manifests(where) for container in containers(manifest)]
    assert images and all(re.fullmatch(r"[\w./-]+@sha256:[0-9a-f]{64}", image) for image in images), images


@pytest.mark.parametrize("where", OVERLAYS)
def test_jobs_run_the_image_that_their_worker_runs(where):
    for name in ("worker-cpu", "worker-gpu"):
        pool, worker = containers(of("Deployment", where)[name])
        (told,) = [entry["value"] for entry in pool["env"] if entry["name"] == "IMAGE"]
        assert told == worker["image"] == pool["image"]


def test_our_image_has_one_place():
    named = [path for path in K8S.rglob("*") if path.is_file() and "sha256:" in path.read_text()]
    assert named == [K8S / "image/kustomization.yaml"]


@pytest.mark.parametrize("where", OVERLAYS)
def test_every_account_pulls_with_the_secret_that_the_docs_make(where):
    assert all(each["imagePullSecrets"] == [{"name": "registry"}] for each in of("ServiceAccount", where).values())
    assert "secret docker-registry registry " in (REPO / "docs/operations.md").read_text()


@pytest.mark.parametrize("where", WHERE)
def test_no_secret_is_written_down(where):
    assert not of("Secret", where)
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH|ACCESS_KEY|CONNECTION|BACKEND_STORE")
    for manifest in manifests(where):
        for container in containers(manifest):
            for entry in container.get("env", []):
                if secret.search(entry["name"]) and not entry["name"].endswith(("SECRET_NAME", "SECRET_KEY")):
                    assert set(entry.get("valueFrom", {})) == {"secretKeyRef"}, entry["name"]
        values = json.dumps(manifest.get("data", {}))
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", values), "an address with a password"


def test_the_two_secrets_that_end_in_key_are_names_of_keys():
    """AWS_SECRET_ACCESS_KEY is a secret and not exempt above."""
    for manifest in [*written(), *jobs().values()]:
        for container in containers(manifest):
            for entry in container.get("env", []):
                if entry["name"].endswith(("SECRET_NAME", "SECRET_KEY")):
                    assert entry["name"].startswith("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_")


def test_the_namespace_takes_restricted_pods_alone():
    (namespace,) = of("Namespace", "written").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("where", OVERLAYS)
def test_everything_is_in_the_overlays_namespace(where):
    (namespace,) = of("Namespace", where)
    for manifest in manifests(where):
        if manifest["kind"] not in ("Namespace", "PriorityClass"):
            assert manifest["metadata"]["namespace"] == namespace, manifest["metadata"]["name"]


def test_only_workers_get_a_token():
    accounts = of("ServiceAccount", "written")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    for manifest in [*written(), *jobs().values()]:
        if spec := pod(manifest):
            assert spec["serviceAccountName"] in accounts
            assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] == "worker")


def test_a_worker_may_do_what_it_calls_and_no_more():
    """The calls of prefect-kubernetes, found in its own code, against the Role."""
    (role,) = of("Role", "written").values()
    assert not of("ClusterRole", "written") and not of("ClusterRoleBinding", "written")
    granted = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    folder = Path(find_spec("prefect_kubernetes").origin).parent
    source = "".join((folder / name).read_text() for name in ("worker.py", "observer.py"))
    calls = {
        "create_namespaced_job": ("jobs", "create"), "delete_namespaced_job": ("jobs", "delete"),
        "read_namespaced_job": ("jobs", "get"), "list_namespaced_job": ("jobs", "list"),
        "list_namespaced_pod": ("pods", "list"), "read_namespaced_pod_log": ("pods/log", "get"),
    }  # fmt: skip
    watched = {(kind, verb) for kind in ("jobs", "pods") for verb in ("list", "watch")}  # kopf's
    unused = {
        "create_namespaced_secret", "delete_namespaced_secret", "patch_namespaced_secret", "read_namespaced_secret",
        "replace_namespaced_secret",  # of settings that are off here
        "list_pod_for_all_namespaces",  # without OBSERVER_NAMESPACES
    }  # fmt: skip
    called = set(
        re.findall(r"\.((?:create|delete|patch|read|replace|list)_(?:namespaced_\w+|\w+_for_all_\w+))\(", source)
    )
    assert called == set(calls) | unused, "prefect-kubernetes calls something else than it did: look at the Role again"
    assert granted == set(calls.values()) | watched
    for worker in ("worker-cpu", "worker-gpu"):
        environment = {entry["name"] for entry in containers(of("Deployment", "written")[worker])[1]["env"]}
        assert {"PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", "PREFECT_WORKER_QUERY_SECONDS",
                "PREFECT_WORKER_ENABLE_CANCELLATION"} <= environment  # fmt: skip


@pytest.mark.parametrize("where", OVERLAYS)
def test_what_is_referred_to_is_there(where):
    accounts, maps = of("ServiceAccount", where), of("ConfigMap", where)
    classes, claims = of("PriorityClass", where), of("PersistentVolumeClaim", where)
    for manifest in [*manifests(where), *jobs().values()]:
        spec = pod(manifest)
        if spec is None:
            continue
        assert spec["serviceAccountName"] in accounts and spec["priorityClassName"] in classes
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            assert volume.get("configMap", {"name": next(iter(maps))})["name"] in maps
            assert volume.get("persistentVolumeClaim", {"claimName": "workspaces"})["claimName"] in claims
        for container in containers(manifest):
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in maps
            for entry in container.get("env", []):
                if reference := entry.get("valueFrom", {}).get("configMapKeyRef"):
                    assert reference["key"] in maps[reference["name"]]["data"]


def test_every_secret_is_explained():
    """By name and key, in docs/operations.md."""
    text = (REPO / "docs/operations.md").read_text()
    for manifest in [*written(), *jobs().values()]:
        for container in containers(manifest):
            for entry in container.get("env", []):
                if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                    assert reference["name"] in text and reference["key"] in text
        for volume in (pod(manifest) or {}).get("volumes", []):
            assert "secret" not in volume or f"secret generic {volume['secret']['secretName']} " in text


def test_two_of_one_server_are_on_two_nodes_where_there_are_two():
    for deployment in of("Deployment", "written").values():
        if deployment["spec"]["replicas"] > 1:
            (spread,) = (pod(deployment) or {})["topologySpreadConstraints"]
            assert spread["topologyKey"] == "kubernetes.io/hostname"
            assert selects(spread["labelSelector"], deployment["spec"]["template"]["metadata"]["labels"])


def test_services_select_pods_and_probes_name_ports():
    deployments = of("Deployment", "written")
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in deployments.items()}
    training = jobs()["understudy-gpu"]["spec"]["template"]
    for name, service in of("Service", "written").items():
        its = training["metadata"]["labels"] if name == training["spec"]["subdomain"] else labels[name]
        assert selects({"matchLabels": service["spec"]["selector"]}, its)
        assert "type" not in service["spec"]
    for name, budget in of("PodDisruptionBudget", "written").items():
        assert [each for each in labels if selects(budget["spec"]["selector"], labels[each])] == [name]
    for deployment in deployments.values():
        assert selects(deployment["spec"]["selector"], deployment["spec"]["template"]["metadata"]["labels"])
        container = containers(deployment)[-1]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def test_nothing_is_open_that_is_not_named():
    policies = of("NetworkPolicy", "written")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    deployments = of("Deployment", "written").values()
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in [*deployments, *jobs().values()]]
    for policy in policies.values():
        for rule in policy["spec"].get("ingress", []) + policy["spec"].get("egress", []):
            assert rule["ports"] and (rule.get("to") or rule.get("from"))
            for peer in rule.get("to", []) + rule.get("from", []):
                if peer == {"ipBlock": {"cidr": "169.254.20.10/32"}}:  # NodeLocal DNSCache
                    assert {port["port"] for port in rule["ports"]} == {53}
                elif "ipBlock" in peer:
                    assert "169.254.0.0/16" in peer["ipBlock"]["except"], "where clouds hand out a node's credentials"
                elif "namespaceSelector" not in peer:
                    assert any(selects(peer["podSelector"], each) for each in labels), peer
    for each in labels:  # DNS, and something of its own
        assert len([p for p in policies.values() if selects(p["spec"]["podSelector"], each)]) >= 3


def openings(labels: dict[str, str], direction: str) -> set[int]:
    policies = [each["spec"] for each in of("NetworkPolicy", "written").values()]
    mine = [policy for policy in policies if selects(policy["podSelector"], labels)]
    return {port["port"] for policy in mine for rule in policy.get(direction, []) for port in rule["ports"]}


def test_a_stage_reaches_what_it_needs_and_is_reached_by_nobody():
    labels = jobs()["understudy-cpu"]["spec"]["template"]["metadata"]["labels"]
    assert openings(labels, "egress") == {53, 4200, 5000, 443} and not openings(labels, "ingress")


def test_servers_reach_their_stores_and_automations_webhooks():
    labels = {name: {"app.kubernetes.io/name": name} for name in ("prefect", "mlflow", "worker")}
    assert openings(labels["prefect"], "egress") == {53, 5432, 443} and openings(labels["prefect"], "ingress") == {4200}
    assert openings(labels["mlflow"], "egress") == {53, 5432, 443} and openings(labels["mlflow"], "ingress") == {5000}
    assert openings(labels["worker"], "egress") == {53, 4200, 443, 6443} and not openings(labels["worker"], "ingress")


def test_the_nodes_of_a_training_reach_each_other_and_nobody_else_reaches_them():
    labels = jobs()["understudy-gpu"]["spec"]["template"]["metadata"]["labels"]
    assert openings(labels, "egress") == {53, 4200, 5000, 443, 1024} and openings(labels, "ingress") == {1024}
    (rule,) = of("NetworkPolicy", "written")["training"]["spec"]["ingress"]
    (peer,) = rule["from"]
    assert set(peer) == {"podSelector"} and selects(peer["podSelector"], labels)
    assert not selects(peer["podSelector"], jobs()["understudy-cpu"]["spec"]["template"]["metadata"]["labels"])


WAITS = ("compress/pipeline", "nightly/night", "sweep/budgets")  # for stages that are pods of their own


@pytest.mark.parametrize("where", OVERLAYS)
@pytest.mark.parametrize("kind", ["requests", "limits"])
@pytest.mark.parametrize("resource", ["cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"])
def test_the_quota_has_room_for_every_flow_that_waits_and_the_largest_stage(resource, kind, where):
    """Flows hold their own pods while they wait: if those filled the quota, no stage would ever begin."""
    (quota,) = (each["spec"]["hard"] for each in of("ResourceQuota", where).values())
    servers = [each for each in of("Deployment", where).values() for _ in range(each["spec"]["replicas"])]
    waiting = [
        pod_of for name in WAITS for pod_of in [deployed(name)] * deployments()[name]["concurrency_limit"]["limit"]
    ]
    stages = [deployed(name) for name in ("stage/cpu", "stage/gpu")]

    def asked(manifest: dict) -> float:
        """Of a pod: its init containers run before the others."""
        each = [amount(one["resources"][kind].get(resource, 0)) for one in containers(manifest)]
        first = len((pod(manifest) or {}).get("initContainers", []))
        return max([*each[:first], sum(each[first:])])

    whole = sum(map(asked, servers + waiting)) + max(map(asked, stages))
    if hard := quota.get(f"{kind}.{resource}"):
        assert whole <= amount(hard), whole
    else:
        assert (kind, resource) in {("limits", "ephemeral-storage"), ("limits", "nvidia.com/gpu")}
    assert len(servers) + len(waiting) + 1 <= int(quota["pods"])


def deployments() -> dict[str, dict]:
    """Of prefect.yaml, by the name of flow and deployment."""
    entries = yaml.safe_load((REPO / "prefect.yaml").read_text())["deployments"]
    return {f"{entry['entrypoint'].rpartition(':')[2]}/{entry['name']}": entry for entry in entries}


@functools.cache
def deployed(name: str) -> dict:
    """The Job of a run of this deployment."""
    pool = deployments()[name]["work_pool"]
    return job(pool["name"], {"image": IMAGE, **pool["job_variables"]})


def test_a_flow_with_a_small_pod_runs_no_stage_itself():
    """It would not have the memory."""
    usual = template("understudy-cpu")["variables"]["properties"]["memory"]["default"]
    small = {name for name in deployments() if amount(asks(name)["memory"]) < amount(usual)}
    assert small == {"compress/pipeline", "sweep/budgets"}
    assert all(deployments()[name]["parameters"]["isolated"] is True for name in small)


def asks(name: str) -> dict:
    return containers(deployed(name))[0]["resources"]["requests"]


def amount(quantity: str | int) -> float:
    """A quantity of Kubernetes, in cores, bytes or pieces."""
    number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi|)", str(quantity)).groups()
    return int(number) * {"m": 0.001, "Mi": 2**20, "Gi": 2**30, "": 1}[unit]


def test_the_configmaps_are_generated_from_the_templates():
    generator = yaml.safe_load((REPO / "infra/prefect/kustomization.yaml").read_text())["configMapGenerator"]
    assert [each["files"] for each in generator] == [[f"{pool}.json" for pool in POOLS]]


@pytest.mark.parametrize("where", OVERLAYS)
def test_stages_are_told_where_everything_is(where):
    environment = of("ConfigMap", where)["understudy-environment"]["data"]
    assert set(environment) == {
        "UNDERSTUDY_REPOSITORY", "UNDERSTUDY_WORKSPACES", "GIT_CONFIG_GLOBAL", "AWS_ENDPOINT_URL",
        "AWS_DEFAULT_REGION", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE", "MLFLOW_TRACKING_URI", "UNDERSTUDY_MLFLOW_PAGES",
        "UNDERSTUDY_GPUS_PER_NODE",
    }  # fmt: skip
    service = of("Service", where)["mlflow"]["spec"]["ports"][0]["port"]
    assert environment["MLFLOW_TRACKING_URI"] == f"http://mlflow:{service}"
