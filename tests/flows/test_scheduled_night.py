"""The whole system: Prefect's own scheduler starts a night, every stage of the shipped graph (shrunk by its parameters
alone) runs in a pod of its own, and the registry's champion is the student of that night's commit."""

import shutil

import pytest
import yaml
from mlflow.tracking import MlflowClient
from own_repository import done
from s3_servers import BUCKET
from shrunk_project import shrunk_project
from tiny_project import wait
from whole_stack import REMOTE, at_work, whole_stack
from workers import children

from understudy.files import sha256
from understudy.graph import STAGES

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_a_night_by_the_scheduler_ends_in_a_champion(repo, kubernetes, prefect_server, tmp_path, monkeypatch):
    root, origin = shrunk_project(repo, tmp_path / "git", REMOTE)
    with whole_stack(kubernetes, prefect_server, tmp_path) as stack:
        # Every minute instead of every night; nothing else of the file is changed.
        with at_work(stack, tmp_path / "git", {"cron: 30 1 * * *": "cron: '* * * * *'"}):
            night = started_by_the_scheduler(prefect_server)
            wait(lambda: prefect_server.state(night).is_final(), "the night's end", 3000)
        state = prefect_server.state(night)
        assert state.name == "Completed", f"{state.name}: {state.message}\n{stack.logs(night)}"

        branch = done(root, "git", "ls-remote", "--heads", str(origin), "runs/*").split("refs/heads/")[1].strip()
        base = done(root, "git", "rev-parse", "--short=7", "HEAD").strip()
        assert branch == f"runs/street-scenes-{base}-nightly"
        log = done(
            root, "git", f"--git-dir={origin}", "log", "--reverse", "--format=%s", f"main..{branch}"
        ).splitlines()
        assert [line.split(" of ")[0] for line in log] == list(STAGES)

        # A pod for each, in the pool where it belongs, and one for the night.
        (compress,) = [run for run in children(prefect_server, night) if run.name == branch]
        stages = children(prefect_server, compress.id)
        assert [run.parameters["stage"] for run in stages] == list(STAGES)
        for run in (*stages, prefect_run(prefect_server, night)):
            (job,) = ended(stack, run)
            assert job["status"]["succeeded"] == 1, run.name
            gpu = run.work_pool_name == "understudy-gpu"
            limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
            assert ("nvidia.com/gpu" in limits) == gpu
        on_gpu = {run.parameters["stage"] for run in stages if run.work_pool_name == "understudy-gpu"}
        assert on_gpu == {"judge", "teacher", "distill", "baseline", "evaluate"}

        # What dvc.lock of the branch names is on S3.
        lock = yaml.safe_load(done(root, "git", f"--git-dir={origin}", "show", f"{branch}:dvc.lock"))
        keys = stored(stack)
        hashes = {out["md5"] for stage in lock["stages"].values() for out in stage["outs"] if kept(root, out["path"])}
        assert hashes and not [one for one in hashes if f"dvc/files/md5/{one[:2]}/{one[2:]}" not in keys]

        tip = done(root, "git", f"--git-dir={origin}", "rev-parse", branch).strip()
        client = MlflowClient(tracking_uri=stack.mlflow.uri, registry_uri=stack.mlflow.uri)
        (model,) = client.search_registered_models()
        champion = client.get_model_version_by_alias(model.name, "champion")
        assert champion.tags["git_commit"] == tip and champion.tags["status"] == "champion"
        assert any(key.startswith("mlflow/") for key in keys)

        with prefect_server.client() as asked:
            shown = {one.key: one.data for one in asked.read_artifacts() if one.key}
        assert "night-street-scenes" in shown and f"promotion-{model.name}" in shown
        assert "its numbers come out again" in shown["night-street-scenes"]
        assert "Verdict: PASSED" in shown["verdict-street-scenes"]
        assert "student" in shown["metrics-street-scenes"] and "no champion yet" in shown["champion-street-scenes"]
        assert shown["samples-street-scenes"].startswith("data:image/")
        for word in (
            "report: [",
            "/artifacts/report.html",
            "/artifacts/data_docs/index.html",
            "training of distill: [",
        ):
            assert word in shown["links-street-scenes"], shown["links-street-scenes"]

        # Without anything of the cluster's volume: the branch and DVC's remote have the student that was promoted.
        shutil.rmtree(stack.claim())
        elsewhere = tmp_path / "elsewhere"
        done(root, "git", "clone", "-q", "--branch", branch, str(origin), str(elsewhere))
        for name, value in stack.store.environment.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        done(elsewhere, "dvc", "pull", "-q", "distill")
        assert sha256(elsewhere / "artifacts/distill/weights.safetensors") == champion.tags["weights_sha256"]


def started_by_the_scheduler(server):
    """The first run that nobody asked for; its schedule is then made inactive."""
    found = []

    def began() -> bool:
        with server.client() as client:
            deployment = client.read_deployment_by_name("nightly/night")
            runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment.id]
            found[:] = [run for run in runs if run.auto_scheduled and run.state_name in ("Pending", "Running")]
            if found:
                for schedule in client.read_deployment_schedules(deployment.id):
                    client.update_deployment_schedule(deployment.id, schedule.id, active=False)
        return bool(found)

    wait(began, "the scheduler's run", 300)
    return found[0].id


def ended(stack, run) -> list:
    """The Jobs of a flow run, whose process goes on for a moment when the run is over."""
    wait(lambda: not any(job["status"].get("active") for job in stack.jobs(run.id)), "the end of its Jobs")
    return stack.jobs(run.id)


def prefect_run(server, run):
    with server.client() as client:
        return client.read_flow_run(run)


def stored(stack) -> set[str]:
    """The keys of everything in the bucket."""
    pages = stack.store.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def kept(root, path: str) -> bool:
    """Whether an output is DVC's, not git's."""
    for stage in yaml.safe_load((root / "dvc.yaml").read_text())["stages"].values():
        for out in (*stage.get("outs", ()), *stage.get("metrics", ())):
            name, options = (out, {}) if isinstance(out, str) else next(iter(out.items()))
            if name == path:
                return bool((options or {}).get("cache", True))
    return True
