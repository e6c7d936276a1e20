"""`make deploy` on a real Prefect server: afterwards the server is what prefect.yaml says, whatever it was before."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from understudy.adapters import prefect_deploy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FLOW = """
from prefect import flow

@flow(name="NAME")
def NAME(): pass
"""
QUIET = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
NIGHT = {"cron": "30 1 * * *", "timezone": "Europe/Berlin", "active": True}


@pytest.fixture
def project(tmp_path) -> Path:
    """Two deployments of small flows."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(FLOW.replace("NAME", name))
    write(tmp_path, one={"schedules": [NIGHT], "concurrency_limit": QUIET}, two={})
    return tmp_path


def deploy(server, project: Path, repo: Path) -> tuple[int, str]:
    """The exit code of the command, and what it said."""
    command = [sys.executable, "-m", "understudy.adapters.prefect_deploy"]
    done = subprocess.run(command, cwd=project, env=server.environment | {"PYTHONPATH": str(repo)}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=600)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def write(root: Path, **deployments: dict) -> None:
    same = {"name": "main", "tags": ["understudy"], "work_pool": {"name": "understudy-deployed"}}
    entries = [same | {"entrypoint": f"{name}.py:{name}"} | entry for name, entry in deployments.items()]
    step = {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $UNDERSTUDY_CODE }}"}}
    (root / "prefect.yaml").write_text(yaml.safe_dump({"name": "x", "pull": [step], "deployments": entries}))


def deployed(server) -> dict[str, tuple]:
    """Ours on the server: cron expressions with zones, and the limit."""
    with server.client() as client:
        return {name: ([(one.schedule.cron, one.schedule.timezone) for one in there.schedules],
                       there.global_concurrency_limit and there.global_concurrency_limit.limit)
                for name, there in prefect_deploy._ours(client).items()}  # fmt: skip


def test_the_server_equals_the_file(project, prefect_server, repo):
    server = prefect_server
    with server.client() as client:  # of somebody else
        from prefect import flow

        other = client.create_deployment(client.create_flow(flow(lambda: None, name="other")), "theirs", tags=["x"])
    code, said = deploy(server, project, repo)
    assert code == 0 and "pool understudy-deployed: made, of processes" in said, said
    assert "one/main: 30 1 * * * Europe/Berlin" in said
    assert deployed(server) == {"one/main": ([("30 1 * * *", "Europe/Berlin")], 1), "two/main": ([], None)}

    # Another hour; and a schedule that somebody added by hand to a deployment that has none in the file.
    with server.client() as client:
        from prefect.client.schemas.schedules import CronSchedule

        two = client.read_deployment_by_name("two/main")
        client.create_deployment_schedules(two.id, [(CronSchedule(cron="0 4 * * *"), True)])
    write(project, one={"schedules": [NIGHT | {"cron": "0 3 * * *"}], "concurrency_limit": QUIET}, two={})
    assert deploy(server, project, repo)[0] == 0
    assert deployed(server) == {"one/main": ([("0 3 * * *", "Europe/Berlin")], 1), "two/main": ([], None)}

    # The schedule goes from the file, with the limit, and a deployment with it.
    write(project, one={})
    code, said = deploy(server, project, repo)
    assert code == 0 and "two/main: removed" in said and deployed(server) == {"one/main": ([], None)}
    with server.client() as client:
        assert client.read_deployment(other).name == "theirs"
        assert not client.get_scheduled_flow_runs_for_deployments([client.read_deployment_by_name("one/main").id])


def test_a_file_that_says_too_little_is_refused(project, prefect_server, repo):
    for wrong, said in (
        ({"tags": []}, "one/main has not the tag understudy"),
        ({"concurrency_limit": 3}, "one/main.concurrency_limit: say what becomes of a run too many"),
        ({"entrypoint": "gone.py:gone"}, "`prefect deploy --all` ended with code"),
    ):
        write(project, one=wrong)
        code, found = deploy(prefect_server, project, repo)
        assert code == 2 and said in found, found


def test_this_projects_own_file(project, prefect_server, repo):
    for name in ("flows", "prefect.yaml", "understudy"):
        source = repo / name
        shutil.rmtree(project / name, ignore_errors=True)
        shutil.copy(source, project / name) if source.is_file() else (project / name).symlink_to(source)
    code, said = deploy(prefect_server, project, repo)
    assert code == 0, said
    found = deployed(prefect_server)
    assert set(found) == {"compress/pipeline", "stage/cpu", "stage/gpu", "promote/student", "nightly/night",
                          "sweep/budgets"}  # fmt: skip
    assert found["nightly/night"] == ([("30 1 * * *", "Europe/Berlin")], 1)
    assert all(limit for _, limit in found.values())
