"""infra/prefect: what a deployment may say to a pool is heard, and the Jobs are as the pipeline needs them."""

import copy
import json
import os
import re
import subprocess

import kubernetes_validate
import pytest
import yaml
from manifests import IMAGE, POOLS, REPO, VERSIONS, containers, job, jobs, pod, template, written

from flows.gpus import job_variables
from understudy.graph import STAGES

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
    """Each with another value than its default."""
    values = template(pool)
    before = json.dumps(jobs()[pool])
    for name, about in values["variables"]["properties"].items():
        given = {"integer": 4321, "object": {"spoken": "word"}}.get(str(about["type"]), "spoken-word")
        after = json.dumps(job(pool, {"image": IMAGE, name: given}))
        assert "spoken" in after or "4321" in after, name
        assert after != before


def test_the_pools_differ_by_the_gpus_and_the_nodes_alone():
    cpu, gpu = (copy.deepcopy(template(pool)) for pool in POOLS)
    for name in ("gpus", "nodes"):
        assert gpu["variables"]["properties"].pop(name)["default"] == 1
    of_job = gpu["job_configuration"]["job_manifest"]["spec"]
    assert of_job.pop("completionMode") == "Indexed"
    assert of_job.pop("successPolicy") == {"rules": [{"succeededIndexes": "0"}]}
    assert of_job["completions"] == of_job["parallelism"] == "{{ nodes }}"
    of_job |= {"completions": 1, "parallelism": 1}
    # Prefect's worker looks for `completions: 1` and `parallelism: 1` in the pod and, by chance of how it compares, is
    # content with any two fields that are 1. Kubernetes sets these two itself, whatever a new Job says.
    metadata = gpu["job_configuration"]["job_manifest"]["metadata"]
    assert (metadata.pop("generation"), metadata.pop("deletionGracePeriodSeconds")) == (1, 1)
    assert of_job["template"]["metadata"]["labels"].pop("app.kubernetes.io/name") == "training"
    spec = of_job["template"]["spec"]
    assert spec.pop("subdomain") == "training" and spec["containers"][0].pop("command")
    names = {"NNODES", "NODE_RANK", "JOB_NAME", "MASTER_ADDR", "MASTER_PORT", "NCCL_DEBUG"}
    environment = spec["containers"][0]["env"]
    assert names <= {entry["name"] for entry in environment}
    spec["containers"][0]["env"] = [entry for entry in environment if entry["name"] not in names]
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
    # Else a Job counts as failed while its evicted pod still saves, and its flow run as crashed, not as rescheduled.
    assert manifest["spec"]["podReplacementPolicy"] == "Failed"
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert container["args"] == ["prefect", "flow-run", "execute"]
    # Else what the image has; a group gets SIGTERM as a whole.
    assert container.get("command", ["/usr/bin/tini", "-g", "--"])[:3] == ["/usr/bin/tini", "-g", "--"]
    assert spec["terminationGracePeriodSeconds"] >= 120
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert "persistentVolumeClaim" in volumes[mounts["/workspaces"]]
    assert volumes[mounts["/etc/understudy/git"]]["secret"]["secretName"] == "git"
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (pool == "understudy-gpu")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("nodes", "gpus"), [(1, 4), (2, 8)], ids=["one node", "two nodes"])
def test_a_training_has_as_many_gpus_and_nodes_as_it_asks_for(nodes, gpus, version):
    manifest = job("understudy-gpu", {"image": IMAGE, "nodes": nodes, "gpus": gpus, "shared_memory": "32Gi"})
    kubernetes_validate.validate(manifest, version, strict=True)
    spec, (container,) = manifest["spec"], containers(manifest)
    assert spec["completions"] == spec["parallelism"] == nodes and spec["completionMode"] == "Indexed"
    for kind in ("requests", "limits"):
        assert container["resources"][kind]["nvidia.com/gpu"] == gpus
    # Names are replaced by values that were given before them.
    names = [entry["name"] for entry in container["env"]]
    assert names.index("JOB_NAME") < names.index("MASTER_ADDR")


@pytest.mark.parametrize("index", [0, 1])
def test_the_first_node_runs_the_flow_and_the_others_follow_it(index, tmp_path):
    """The command itself, with programs of these names that say what they were asked and told."""
    (container,) = containers(job("understudy-gpu", {"image": IMAGE, "nodes": 2}))
    for name in ("prefect", "understudy"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" "$NNODES" "$MASTER_ADDR"\n')
        program.chmod(0o755)
    given = {"metadata.annotations['batch.kubernetes.io/job-completion-index']": str(index),
             "metadata.labels['batch.kubernetes.io/job-name']": "teacher-x"}  # fmt: skip
    environment: dict[str, str] = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for entry in container["env"]:
        if "fieldRef" in entry.get("valueFrom", {}):
            environment[entry["name"]] = given[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        elif "value" in entry:  # as Kubernetes does
            known = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], entry["value"])
            environment[entry["name"]] = known
    command = container["command"][3:] + container["args"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    told = "2 teacher-x-0.training"
    assert " ".join(said.split()) == (f"understudy follow {told}" if index else f"prefect flow-run execute {told}")


def test_keys_are_chosen_by_the_name_of_their_secret():
    (container,) = containers(job("understudy-cpu", {"image": IMAGE, "s3_secret": "s3-promotion"}))
    secrets = {entry["valueFrom"]["secretKeyRef"]["name"] for entry in container["env"] if "valueFrom" in entry}
    assert secrets == {"s3-promotion"}


def test_any_name_of_a_run_gives_a_name_of_a_job():
    manifest = job("understudy-cpu", {"image": IMAGE, "name": "Street Scenes / " + "x" * 80})
    assert len(manifest["metadata"]["generateName"]) <= 63
    assert re.fullmatch(r"[a-z0-9-]+", manifest["metadata"]["generateName"])


DEPLOYMENTS = yaml.safe_load((REPO / "prefect.yaml").read_text())["deployments"]


def test_deployments_say_what_their_pool_understands():
    for deployment in DEPLOYMENTS:
        pool = deployment["work_pool"]
        assert pool["name"] in POOLS, deployment["name"]
        known = set(template(pool["name"])["variables"]["properties"])
        assert set(pool["job_variables"]) <= known, deployment["name"]


def test_the_flow_asks_for_gpus_by_variables_of_their_pool(tmp_path):
    values = yaml.safe_load((REPO / "params.yaml").read_text())
    values["teacher"]["schedule"]["processes"] = 2
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    asked = job_variables(tmp_path, "teacher")
    assert asked and set(asked) <= set(template("understudy-gpu")["variables"]["properties"])


def test_promotion_has_keys_of_its_own_and_nights_those_that_push_new_data():
    secrets = {each["name"]: each["work_pool"]["job_variables"].get("s3_secret") for each in DEPLOYMENTS}
    assert [name for name, secret in secrets.items() if secret] == ["student"]
    assert secrets["student"] == "s3-promotion"


@pytest.mark.parametrize("pool", POOLS)
def test_the_quota_has_room_for_the_jobs_of_many_runs(pool):
    """One too many is refused, and does not wait. What has ended counts until it is removed."""
    (quota,) = (each["spec"]["hard"] for each in written() if each["kind"] == "ResourceQuota")
    kept = template(pool)["variables"]["properties"]["finished_job_ttl"]["default"]
    of_a_run = len(STAGES) + 1
    in_an_hour = int(quota["count/jobs.batch"]) / of_a_run * 3600 / kept
    assert in_an_hour >= 8, "pipelines that each end within an hour: twice the limit of prefect.yaml"
