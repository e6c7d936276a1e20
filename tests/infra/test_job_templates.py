"""infra/prefect: what a deployment may say to a pool is heard, and the Jobs are as the pipeline needs them."""

import copy
import json
import re

import pytest
import yaml
from manifests import IMAGE, POOLS, REPO, containers, job, jobs, pod, template

WORKER = ("name", "command", "env", "labels")  # which Prefect's worker fills itself


def placeholders(value: object) -> set[str]:
    return set(re.findall(r"\{\{ *(\w+) *\}\}", json.dumps(value)))


@pytest.mark.parametrize("pool", POOLS)
def test_every_variable_is_used_and_every_placeholder_is_a_variable(pool):
    """Prefect ignores a variable that nothing names: a deployment would ask for memory and not get it."""
    values = template(pool)
    assert placeholders(values["job_configuration"]) == set(values["variables"]["properties"])


@pytest.mark.parametrize("pool", POOLS)
def test_every_variable_changes_the_job(pool):
    """Each with another value than its default; what the worker alone reads is looked for in its own configuration."""
    values = template(pool)
    before = json.dumps(jobs()[pool])
    for name, about in values["variables"]["properties"].items():
        if name == "pod_watch_timeout_seconds":
            assert values["job_configuration"][name] == "{{ pod_watch_timeout_seconds }}"
            continue
        given = {"integer": 4321, "object": {"spoken": "word"}}.get(str(about["type"]), "spoken-word")
        after = json.dumps(job(pool, {"image": IMAGE, name: given}))
        assert "spoken" in after or "4321" in after, name
        assert after != before


def test_the_pools_differ_by_the_gpu_alone():
    cpu, gpu = (copy.deepcopy(template(pool)) for pool in POOLS)
    assert gpu["variables"]["properties"].pop("gpus")["default"] == 1
    spec = gpu["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert spec.pop("nodeSelector") == {"nvidia.com/gpu.present": "true"}
    assert [each["key"] for each in spec.pop("tolerations")] == ["nvidia.com/gpu"]
    for kind in ("requests", "limits"):
        assert spec["containers"][0]["resources"][kind].pop("nvidia.com/gpu") == "{{ gpus }}"
    assert gpu["job_configuration"] == cpu["job_configuration"]
    assert list(gpu["variables"]["properties"]) == list(cpu["variables"]["properties"])


@pytest.mark.parametrize("pool", POOLS)
def test_a_job_is_what_the_pipeline_needs(pool):
    manifest = jobs()[pool]
    spec, (container,) = pod(manifest), containers(manifest)
    assert spec is not None
    # Prefect, not Kubernetes, starts a stage again.
    assert manifest["spec"]["backoffLimit"] == 0 and spec["restartPolicy"] == "Never"
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert "command" not in container and container["args"] == ["prefect", "flow-run", "execute"]  # after tini
    assert spec["terminationGracePeriodSeconds"] >= 120
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert "persistentVolumeClaim" in volumes[mounts["/workspaces"]]
    assert volumes[mounts["/etc/understudy/git"]]["secret"]["secretName"] == "git"
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (pool == "understudy-gpu")


def test_keys_are_chosen_by_the_name_of_their_secret():
    (container,) = containers(job("understudy-cpu", {"image": IMAGE, "s3_secret": "s3-promotion"}))
    secrets = {entry["valueFrom"]["secretKeyRef"]["name"] for entry in container["env"] if "valueFrom" in entry}
    assert secrets == {"s3-promotion"}


def test_any_name_of_a_run_gives_a_name_of_a_job():
    manifest = job("understudy-cpu", {"image": IMAGE, "name": "Street Scenes / " + "x" * 80})
    assert len(manifest["metadata"]["generateName"]) <= 63
    assert re.fullmatch(r"[a-z0-9-]+", manifest["metadata"]["generateName"])


def deployments() -> list[dict]:
    path = REPO / "prefect.yaml"
    return yaml.safe_load(path.read_text())["deployments"] if path.exists() else []


def test_deployments_say_what_their_pool_understands():
    for deployment in deployments():
        pool = deployment["work_pool"]
        assert pool["name"] in POOLS, deployment["name"]
        known = set(template(pool["name"])["variables"]["properties"])
        assert set(pool.get("job_variables", {})) <= known, deployment["name"]
