"""A work pool made of a job template by a real Prefect server, and made again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from understudy.adapters.prefect_pools import filled
from understudy.errors import UserError

REPO = Path(__file__).parents[3]
TEMPLATE = REPO / "infra/prefect/understudy-cpu.json"
IMAGE = "registry.example.com/understudy@sha256:" + "1" * 64


def told(environment: dict[str, str], template: Path, image: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "understudy.adapters.prefect_pools", str(template)]
    return subprocess.run([*command, "--namespace", "there", "--image", image], cwd=REPO, env=environment,
                          capture_output=True, text=True, timeout=180)  # fmt: skip


def test_a_template_gets_the_workers_own_namespace_and_image():
    variables = filled(TEMPLATE, "there", IMAGE)["variables"]
    assert variables["properties"]["namespace"]["default"] == "there"
    assert variables["properties"]["image"]["default"] == IMAGE
    assert "image" not in variables["required"] and "image" in json.loads(TEMPLATE.read_text())["variables"]["required"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"variables": {"properties": {"image": {}}}}', "\x00"])
def test_another_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "pool.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"pool\.json: not a job template"):
        filled(path, "there", IMAGE)
    with pytest.raises(UserError, match=r"none\.json: No such file"):
        filled(tmp_path / "none.json", "there", IMAGE)


@pytest.mark.slow
def test_a_pool_is_made_and_made_again_and_keeps_what_it_has_beside_its_template(prefect_server, tmp_path):
    from prefect.client.schemas.actions import WorkPoolUpdate

    path = tmp_path / "of-a-cluster.json"  # other tests have the pools of this project on the same server
    path.write_text(TEMPLATE.read_text())
    made = told(prefect_server.environment, path, IMAGE)
    assert made.returncode == 0 and made.stdout == f"pool of-a-cluster: {IMAGE}\n", made.stderr
    with prefect_server.client() as client:
        client.update_work_pool("of-a-cluster", WorkPoolUpdate(is_paused=True, concurrency_limit=7))
        other = IMAGE.replace("1" * 64, "2" * 64)
        assert told(prefect_server.environment, path, other).returncode == 0
        pool = client.read_work_pool("of-a-cluster")
        assert pool.base_job_template == filled(path, "there", other)
        assert pool.type == "kubernetes" and pool.is_paused and pool.concurrency_limit == 7


@pytest.mark.slow
def test_a_pool_of_another_type_is_left_alone(prefect_server, tmp_path):
    prefect_server.prefect("work-pool", "create", "--type", "process", "of-a-laptop")
    path = tmp_path / "of-a-laptop.json"
    path.write_text(TEMPLATE.read_text())
    refused = told(prefect_server.environment, path, IMAGE)
    assert refused.returncode == 2 and "is of the type process" in refused.stderr


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_message():
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    refused = told(environment, TEMPLATE, IMAGE)
    assert refused.returncode == 2 and "PREFECT_API_URL" in refused.stderr and "Traceback" not in refused.stderr
