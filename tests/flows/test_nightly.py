"""Nights of a project whose supplier delivers: new data, nothing new, bad data, a worse student, a champion that was
tampered with; beside a real Prefect server, with DVC, git and MLflow's registry as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from delivered import Delivered
from mlflow import MlflowClient
from own_repository import done
from tiny_students import write_run, write_student

from understudy.adapters.mlflow import connect
from understudy.gate import STUDENT

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


class Nights:
    def __init__(self, repo: Path, server, folder: Path, runs: Path) -> None:
        self.repo, self.server, self.folder = repo, server, folder
        self.project = Delivered(repo, folder, runs, "first")
        self.store = folder / "registry"
        self.store.mkdir()

    def run(self, flow: str, *arguments: str, **more: str) -> tuple[int, str, str]:
        """The exit code, the last line, and everything that was said."""
        prefect = {name: value for name, value in self.server.environment.items() if "PREFECT" in name}
        registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{self.store}/mlflow.db"}
        environment = self.project.environment(**prefect, **registry, DO_NOT_TRACK="1") | more
        command = [sys.executable, "-m", f"flows.{flow}", *arguments]
        ended = subprocess.run(command, cwd=self.repo, env=environment, stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1500)  # fmt: skip
        return ended.returncode, ended.stdout.splitlines()[-1], ended.stdout

    def shown(self, key: str) -> str:
        """The last artifact of a key."""
        with self.server.client() as client:
            found = [one for one in client.read_artifacts() if one.key == key]
        return max(found, key=lambda one: one.created).data

    def table(self) -> list[list[str]]:
        """The rows of the last night's artifact, by their first two columns."""
        rows = [line.strip("| ").split(" | ") for line in self.shown("night-params").splitlines() if line[:1] == "|"]
        return [row[:2] for row in rows[2:]]

    def champion(self) -> str | None:
        aliases = self._client().get_registered_model("tiny").aliases
        return None if "champion" not in aliases else str(aliases["champion"])

    def crown(self, model: Path) -> None:
        """Register a folder by MLflow alone, and move the alias to it."""
        model.mkdir()
        version = self._client().create_model_version("tiny", model.as_uri()).version
        self._client().set_registered_model_alias("tiny", "champion", version)

    def _client(self) -> MlflowClient:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{self.store}/mlflow.db")
            return connect(self.store).client


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first")
    for name, steps in (("better", 40), ("worse", 10)):
        shutil.copytree(folder / "first", folder / name)
        write_student(folder / name, steps)
    write_student(folder / "first", 20)
    return folder


@pytest.fixture
def nights(repo, prefect_server, tmp_path, made) -> Nights:
    return Nights(repo, prefect_server, tmp_path, made)


def test_nights_of_every_kind(nights, repo):
    code, last, said = nights.run("nightly")
    assert code == 0, said
    (branch,) = nights.project.branches()
    assert branch.startswith("runs/params-") and branch.endswith("-nightly")
    assert nights.champion() == "1"
    assert nights.table() == [["data", "well"], ["pipeline", "well"], ["promotion", "well"], ["champion", "well"]]
    assert "made anew: prepare, check, evaluate, gate" in last and "its numbers come out again" in last

    # Nothing new: no stage runs, and the champion is looked at all the same.
    code, last, said = nights.run("nightly")
    assert code == 0 and "Running stage" not in said and "unchanged at its address" in last, said
    assert "nothing was stale" in last and nights.project.branches() == [branch]

    # Another commit of the code: the results of the night before are taken along, so that nothing runs.
    (nights.project.root / "README.md").write_text("words")
    nights.project.share()
    code, last, said = nights.run("nightly")
    assert code == 0 and "Running stage" not in said and "nothing was stale" in last, said
    (branch,) = set(nights.project.branches()) - {branch}

    # New data at the same address, of which a better student came.
    nights.project.deliver("better")
    code, last, said = nights.run("nightly")
    assert code == 0 and nights.champion() == "2" and "fetched anew" in last, said
    assert "new data: feed.zip" in nights.project.log(branch)
    assert "The student beside tiny version 1, the champion" in nights.shown("champion-params")

    # Bad data ends the night before anything that asks for a GPU. The champion came from other data, and is measured
    # with its own.
    nights.project.deliver("worse", wrong=True)
    code, last, said = nights.run("nightly")
    assert code == 4 and "DataRefused" in last and "rows 3 and 4 are wrong" in last, said
    assert "Running stage 'evaluate'" not in said and "is evaluate fresh" not in said
    assert nights.table() == [["data", "well"], ["pipeline", "DataRefused"], ["champion", "well"]]

    # A worse student: refused by the registry, with its reason.
    nights.project.deliver("worse")
    code, last, said = nights.run("nightly")
    assert code == 3 and "Refused" in last and "worse than the champion's" in last and nights.champion() == "2", said
    assert nights.table()[2:] == [["promotion", "Refused"], ["champion", "well"]]

    # Somebody writes into the registry's files.
    for weights in nights.store.rglob(Path(STUDENT[1]).name):
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, last, said = nights.run("nightly")
    assert code == 3 and "ChampionWrong" in last and "its files are those that were registered" in last, said

    # The address is gone, and the alias on a model of another make: what is there stays, and the champion is verified.
    nights.project.feed.unlink()
    nights.crown(nights.folder / "of-another-make")
    code, last, said = nights.run("nightly")
    assert code == 3 and nights.table()[0] == ["data", "failed"] and nights.table()[-1] == ["champion", "ChampionWrong"]
    assert "the alias points to version 4, the ledger says version 2" in said, said
    assert done(nights.project.root, "git", "status", "--porcelain") == "", repo


def test_a_promotion_by_hand(nights):
    from prefect.client.schemas.filters import FlowRunFilter

    code, last, _ = nights.run("promote")
    assert code == 2 and "has no branch runs/*" in last
    assert nights.run("compress")[0] == 0
    (branch,) = nights.project.branches()
    without = nights.run("promote", MLFLOW_TRACKING_URI="")
    assert without[0] == 2 and "MLFLOW_TRACKING_URI is not set" in without[1]  # the repository is bare
    code, last, said = nights.run("promote")
    assert code == 0 and "champion: tiny version 1 (new)" in last and nights.champion() == "1", said
    with nights.server.client() as client:
        told = [one.data for one in client.read_artifacts() if one.key == "promotion-tiny"]
        assert any("tiny version 1 (champion)" in data for data in told)
        assert f"promote {branch}" in {run.name for run in client.read_flow_runs()}

    nights.project.deliver("worse")
    done(nights.project.root, "dvc", "update", "feed.zip.dvc")
    done(nights.project.root, "dvc", "push", "feed.zip")
    nights.project.share()
    assert nights.run("compress")[0] == 0
    code, last, said = nights.run("promote")
    assert code == 3 and last.startswith("promote: Refused: tiny version 2 stays challenger"), said
    assert "worse than the champion's" in last and nights.champion() == "1"
    with nights.server.client() as client:
        (worse,) = set(nights.project.branches()) - {branch}
        (refused,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name={"any_": [f"promote {worse}"]}))
        assert (refused.state.type.value, refused.state.name) == ("FAILED", "Refused")
        assert "worse than the champion's" in refused.state.message
        (told,) = client.read_artifacts(flow_run_filter=FlowRunFilter(id={"any_": [refused.id]}))
        assert told.key == "promotion-tiny" and told.description.startswith("Refusal of the student")
        assert "worse than the champion's" in told.data
