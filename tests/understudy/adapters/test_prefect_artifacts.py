"""Every artifact of a run that was judged, on a real Prefect server, with a real MLflow store."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from finished_run import finished_run
from free_ports import free_port
from own_repository import commit, done, environment
from PIL import Image

from understudy.adapters import tracking
from understudy.adapters.mlflow import connect
from understudy.adapters.run_pages import BRANCH, PAGES
from understudy.train.log import Log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NAME, FINGERPRINT = "runs/toy-streets-0123abc-1a2b3c4d", "f00dfeed" * 8
SHOW = """
import sys
from pathlib import Path
from understudy.adapters.prefect_artifacts import show
from understudy.adapters.workspace import Workspace
from prefect import flow

@flow
def shown():
    show(Workspace(Path(sys.argv[1]), sys.argv[2]))

shown()
"""


@pytest.fixture
def place(root):
    """The workspace of a run that has ended: images, data docs, and a training that was delivered to `root`'s store."""
    place = root / "workspaces" / NAME
    finished_run(place)
    with (place / "params.yaml").open("a") as params:
        params.write("registry: {model: toy}\n")
    (place / "dvc.yaml").write_text("stages: {}\n")
    Image.new("RGB", (8, 4), "red").save(place / "artifacts/evaluate/samples.png")
    (place / ".understudy/check/data_docs").mkdir(parents=True)
    (place / ".understudy/check/data_docs/index.html").write_text("expectations")
    done(place, "git", "init", "-q", "--initial-branch=main")
    (place / ".gitignore").write_text("/.understudy/\n")
    commit(place, "results")
    log = Log(place / ".understudy/teacher" / FINGERPRINT / "log.jsonl", resumed_at=0)
    log.write("start", stage="teacher", fingerprint=FINGERPRINT, steps=10, params={})
    log.write("end", metrics={})
    return place


def shown(server, place, **more: str) -> dict[str, str]:
    """The artifacts by their keys, and under "said" what was said."""
    told = environment() | {name: value for name, value in server.environment.items() if "PREFECT" in name}
    told |= {"UNDERSTUDY_WORKSPACES": str(place.parents[1]), "UNDERSTUDY_TRACKING": "on", "DO_NOT_TRACK": "1"}
    ran = subprocess.run([sys.executable, "-c", SHOW, str(place), NAME], cwd=place, env=told | more, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    with server.client() as client:
        made = sorted(client.read_artifacts(), key=lambda one: one.created)
    return {one.key: one.data for one in made if NAME in (one.description or "")} | {"said": ran.stdout}


def test_everything_of_a_run_is_shown_and_its_links_lead_into_mlflow(prefect_server, place, root, monkeypatch):
    uri = f"sqlite:///{root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking.follow(place, place / ".understudy/teacher" / FINGERPRINT / "log.jsonl", alive=lambda: False)
    pages = "https://mlflow.example.com"
    found = shown(prefect_server, place, MLFLOW_TRACKING_URI=uri, **{PAGES: pages})
    said = found.pop("said")
    assert set(found) == {f"{kind}-toy-streets" for kind in ("verdict", "metrics", "champion", "samples", "links")}, (
        said
    )
    assert "Verdict: FAILED" in found["verdict-toy-streets"]
    assert "student" in found["metrics-toy-streets"] and "0.600" in found["metrics-toy-streets"]
    assert found["champion-toy-streets"] == "toy has no champion yet"
    assert found["samples-toy-streets"].startswith("data:image/")

    store = connect(root)
    (own,) = store.client.search_runs([store.experiment], f"tags.`{BRANCH}` = '{NAME}'")
    (training,) = store.client.search_runs([store.experiment], "tags.dvc_stage = 'teacher'")
    at = f"{pages}/#/experiments/{store.experiment}/runs"
    assert re.findall(r"^- ([^:]+): \[.*\]\((.*)\)$", found["links-toy-streets"], re.MULTILINE) == [
        ("report", f"{at}/{own.info.run_id}/artifacts/report.html"),
        ("Data Docs", f"{at}/{own.info.run_id}/artifacts/data_docs/index.html"),
        ("training of teacher", f"{at}/{training.info.run_id}"),
    ]
    assert own.info.run_name == NAME and own.info.status == "FINISHED"
    kept = Path(store.client.download_artifacts(own.info.run_id, ""))
    assert (kept / "data_docs/index.html").read_text() == "expectations"
    assert "toy streets" in (kept / "report.html").read_text()


def test_a_tracker_that_is_down_takes_no_artifact_away(prefect_server, place):
    found = shown(prefect_server, place, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert "Verdict: FAILED" in found["verdict-toy-streets"] and "samples-toy-streets" in found
    assert "git checkout" in found["links-toy-streets"] and "training runs: [http://127" in found["links-toy-streets"]
    assert f"MLflow has no pages of {NAME}" in found["said"]
