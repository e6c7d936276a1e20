"""Promotion on real servers (MLflow on Postgres, artifacts on S3): killed anywhere, many at once, servers that fail.

Whatever happens: one champion, which met its gate, and after the next command nothing half done.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_server import MlflowServer, Postgres
from s3_servers import BUCKET, serving
from tiny_students import POLICY, SCORING, write_run, write_student

from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote, rollback
from understudy.adapters.run_marks import COMMAND_TAG
from understudy.adapters.verifying import verify
from understudy.errors import GATE_FAILED, OK, UserError
from understudy.params.gate import Gate
from understudy.params.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GATE = Gate(POLICY, "params.yaml: gate")
STEPS = {"first": 20, "better": 40, "worse": 10}  # that the student of each run learns for
# A promotion whose process ends, without any goodbye, just before or just after its Nth request.
CHILD = """
import os, sys
import requests
from understudy.cli import main
count, killed_at, after = 0, int(sys.argv[1]), sys.argv[2] == "after"
send = requests.Session.send
def counted(*arguments, **options):
    global count
    count += 1
    if count == killed_at and not after:
        os._exit(9)
    answer = send(*arguments, **options)
    if count == killed_at:
        os._exit(9)
    return answer
requests.Session.send = counted
code = main(["registry", *sys.argv[3:]])
print("requests", count)
sys.exit(code)
"""


class Servers:
    """Postgres, S3 and MLflow; the last can be stopped and started again."""

    def __init__(self, folder: Path, postgres: Postgres, mlflow: MlflowServer) -> None:
        self.folder, self.postgres, self.mlflow = folder, postgres, mlflow


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "postgres").mkdir()
    postgres = Postgres(folder / "postgres")
    kind = "ceph" if shutil.which("radosgw") else "rclone"
    with serving(kind, folder / "s3") as s3:
        postgres.start()
        environment = {**s3.environment, "HOME": os.environ["HOME"], "MLFLOW_S3_ENDPOINT_URL":
                       s3.environment["AWS_ENDPOINT_URL"]}  # fmt: skip
        mlflow = MlflowServer(folder, postgres.uri, f"s3://{BUCKET}/mlflow", environment)
        try:
            mlflow.be_up()
            yield Servers(folder, postgres, mlflow)
        finally:
            mlflow.kill()
            postgres.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run for each of STEPS, with one data set, judge and teacher."""
    folder = tmp_path_factory.mktemp("runs")
    first, *others = STEPS
    write_run(folder / first)
    for name in others:
        shutil.copytree(folder / first, folder / name)
    for name, steps in STEPS.items():
        write_student(folder / name, steps)
    return folder


@pytest.fixture
def model(servers, monkeypatch, request) -> Registry:
    """A model of this test's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.mlflow.uri)
    return Registry(request.node.name.partition("[")[0])


def state(root: Path, model: Registry) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Aliases; status by version; and what a killed promotion would leave: runs without a version, or still running."""
    store = connect(root)
    registered = store.client.get_registered_model(model.model)
    versions = store.client.search_model_versions(f"name = '{model.model}'")
    used = {version.run_id for version in versions} | {LedgerStore.open(store, model.model).run}
    runs = store.client.search_runs([store.experiment], f"tags.`understudy.model` = '{model.model}'")
    left = [
        f"{run.data.tags[COMMAND_TAG]} {run.info.status}"
        for run in runs
        if run.info.run_id not in used or run.info.status == "RUNNING"
    ]
    aliases = {alias: str(version) for alias, version in registered.aliases.items()}
    return aliases, {str(one.version): one.tags.get("status", "none") for one in versions}, left


def test_the_story_on_real_servers(made, servers, model, tmp_path):
    first = promote(made / "first", model, GATE, SCORING)
    assert (first.version, first.replaced) == ("1", None)
    assert promote(made / "better", model, GATE, SCORING).replaced == "1"
    with pytest.raises(UserError, match=r"version 3 stays challenger(.|\n)*worse than the champion's 0\.8") as worse:
        promote(made / "worse", model, GATE, SCORING)
    assert worse.value.code == GATE_FAILED
    assert rollback(made / "first", model, None, "a reason").version == "1"
    assert promote(made / "better", model, GATE, SCORING, again=True).version == "2"
    assert verify(made / "first", model, GATE, SCORING, None).clean
    assert state(made / "first", model) == (
        {"champion": "2", "challenger": "3"}, {"1": "rolled back", "2": "promoted", "3": "refused"}, []
    )  # fmt: skip
    client = connect(tmp_path).client
    client.set_registered_model_alias(model.model, "champion", "3")
    found = verify(made / "first", model, GATE, SCORING, None)
    assert [check.what for check in found.checks if check.wrong] == ["the alias champion is the ledger's champion"]


def child(root: Path, model: Registry, *words: str, killed_at: int = 0, after: str = "after") -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(killed_at), after, *words, "--root", str(root), "--model", model.model]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_twenty_promotions_at_once(made, servers, model, tmp_path):
    """Of five students of which each may replace the one before: whoever wins was compared with whom it replaced."""
    promote(made / "first", model, GATE, SCORING)
    roots = [made / name for name in ("first", "better", "worse", "better")]
    running = [child(roots[index % 4], model, "promote") for index in range(20)]
    ended = [(process.communicate(timeout=600)[0], process.returncode) for process in running]
    assert {code for _, code in ended} <= {OK, GATE_FAILED}, ended
    promote(made / "better", model, GATE, SCORING)
    aliases, status, left = state(tmp_path, model)
    better = next(number for number, said in status.items() if number == aliases["champion"] and said == "promoted")
    assert left == [] and len(status) == 3 and status["1"] == "promoted"
    ledger = LedgerStore.open(connect(tmp_path), model.model).read()
    assert ledger.problems() == [] and ledger.champion == better
    assert verify(made / "first", model, GATE, SCORING, None).clean
