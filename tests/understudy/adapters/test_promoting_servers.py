"""Promotion on real servers (MLflow on Postgres, artifacts on S3): killed anywhere, many at once, servers that fail.

Whatever happens: one champion, which met its gate, and after the next command nothing half done.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow_server import MlflowServer, Postgres, wait_until
from s3_servers import BUCKET, Server, serving
from tiny_students import POLICY, SCORING, write_run, write_student, write_verdict

from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.adapters.rolling_back import rollback
from understudy.adapters.run_marks import COMMAND_TAG
from understudy.adapters.verifying import verify
from understudy.errors import BAD_INPUT, GATE_FAILED, OK, UserError
from understudy.gate import STUDENT
from understudy.ledger import FIRST
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.params.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GATE = Gate(POLICY, "params.yaml: gate")
STEPS = {"first": 20, "better": 40, "worse": 10, "same": 41}  # that the student of each run learns for
TESTS = Path(__file__).parents[2]
REPO = TESTS.parent
Done = TypeVar("Done")


class Servers:
    """Postgres, S3 and MLflow; the last can be stopped and started again."""

    def __init__(self, postgres: Postgres, s3: Server, mlflow: MlflowServer) -> None:
        self.postgres, self.s3, self.mlflow = postgres, s3, mlflow


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    postgres = Postgres()
    with serving("rclone", folder / "s3") as s3:
        postgres.start()
        environment = {**s3.environment, "HOME": os.environ["HOME"], "MLFLOW_S3_ENDPOINT_URL":
                       s3.environment["AWS_ENDPOINT_URL"]}  # fmt: skip
        mlflow = MlflowServer(folder, postgres.uri, f"s3://{BUCKET}/mlflow", environment)
        try:
            mlflow.be_up()
            yield Servers(postgres, s3, mlflow)
        finally:
            mlflow.kill()
            postgres.remove()


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
        {"champion": "2"}, {"1": "former champion", "2": "champion", "3": "refused"}, []
    )  # fmt: skip
    client = connect(tmp_path).client
    client.set_registered_model_alias(model.model, "champion", "3")
    assert wrong(made / "first", model) == ["the alias champion is the ledger's champion"]
    client.set_registered_model_alias(model.model, "champion", "2")
    # The worse student's weights in place of the champion's.
    s3, (champion, worse) = servers.s3.client(), (weights(client.get_model_version(model.model, one)) for one in "23")
    s3.put_object(Bucket=BUCKET, Key=champion, Body=s3.get_object(Bucket=BUCKET, Key=worse)["Body"].read())
    said = wrong(made / "first", model)
    assert {"its files are those that were registered", "its evaluation comes out again"} < set(said), said


def wrong(root: Path, model: Registry) -> list[str]:
    """What is not as it should be with the champion."""
    return [check.what for check in verify(root, model, GATE, SCORING, None).checks if check.wrong]


def weights(version: ModelVersion) -> str:
    """The key of a version's weights on S3."""
    return f"mlflow/{version.source.partition(':/')[2]}/artifacts/{Path(STUDENT[1]).name}"


class Forks:
    """Commands in forks of one warm process (tests/forked_commands.py)."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, str(TESTS / "forked_commands.py")]
        self.process = subprocess.Popen(command, cwd=REPO, env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)  # fmt: skip

    def run(self, *commands: list[str], killed_at: int = 0, paused: str = "") -> list[dict]:
        """All at once; for each its exit code, output and the requests by which it changed something."""
        assert self.process.stdin and self.process.stdout
        asked = [{"words": words, "at": killed_at, "paused": paused} for words in commands]
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@contextmanager
def waiting(servers: Servers, seconds: int) -> Iterator[Forks]:
    """Commands that wait so long for an answer."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": servers.mlflow.uri, "PYTHONPATH": str(REPO),
                                "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}  # fmt: skip
    forks = Forks(environment)
    try:
        yield forks
    finally:
        forks.process.kill()
        forks.process.wait()


@pytest.fixture(scope="module")
def forks(servers) -> Iterator[Forks]:
    # Twenty at once have one server of one process to themselves: on a busy machine an answer may take its time.
    with waiting(servers, 300) as forks:
        yield forks


@pytest.fixture(scope="module")
def impatient(servers) -> Iterator[Forks]:
    with waiting(servers, 5) as forks:
        yield forks


def promoting(root: Path, model: Registry) -> list[str]:
    return ["registry", "promote", "--root", str(root), "--model", model.model]


def all_at_once(names: Sequence[str], made: Path, model: Registry, forks: Forks, folder: Path) -> None:
    """Each student is registered once, and whoever won was compared with the very champion that it replaced."""
    ended = forks.run(*(promoting(made / name, model) for name in names))
    assert [one["output"] for one in ended if one["code"] not in (OK, GATE_FAILED)] == []
    ledgers = LedgerStore.open(connect(folder), model.model)
    ledger = ledgers.read()
    assert ledger.problems() == []
    assert [entry.replaces == FIRST for entry in ledger.entries] == [True] + [False] * (len(ledger.entries) - 1)
    for entry in ledger.entries[1:]:
        decided = ledgers.decision(entry)
        assert decided["champion"] == entry.replaces and decided["measured"]["differences"]
    promote(made / "better", model, GATE, SCORING)
    aliases, status, left = state(folder, model)
    champion = ledgers.read().champion
    assert left == [] and len(status) == len({*names, "better"}) and aliases["champion"] == champion
    assert [version for version, said in status.items() if said == "champion"] == [champion]
    assert verify(made / "first", model, GATE, SCORING, None).clean


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.long)])
def test_many_promotions_at_once(times, made, servers, model, forks, tmp_path):
    promote(made / "first", model, GATE, SCORING)
    all_at_once(("first", "better", "worse", "same") * times, made, model, forks, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_first_promotions_at_once(made, servers, model, forks, tmp_path):
    """Nothing is there yet: registered model and ledger are made, and one of two students is first."""
    all_at_once(("first", "better") * 10, made, model, forks, tmp_path)


def fresh(made: Path, folder: Path, index: int) -> Path:
    """The better student under a verdict of its own: another version, no worse than any before."""
    root = shutil.copytree(made / "better", folder / str(index))
    policy = {MIOU: {"min": 0.05 + index / 1000, "max_worse_than_champion": 0.02}}
    write_verdict(root, policy)
    parameters = yaml.safe_load((root / "params.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump(parameters | {"gate": policy}))
    return root


def test_the_first_promotion_and_a_rollback_killed(made, servers, forks, model, tmp_path):
    """The ledger and the registered model are made, and each of these requests may be the last one."""
    requests = ("runs/create", "registered-models/create", "model-versions/create", "log-parameter")
    (whole,) = forks.run(promoting(made / "first", Registry(f"{model.model}whole")))
    for index, wanted in enumerate(requests):
        own = Registry(f"{model.model}{index}")
        point = next(number for number, one in enumerate(whole["requests"], 1) if wanted in one)
        (killed,) = forks.run(promoting(made / "first", own), killed_at=point)
        assert killed["code"] == 9, killed["output"]
        (repeated,) = forks.run(promoting(made / "first", own))
        assert repeated["code"] == OK, repeated["output"]
        aliases, status, left = state(tmp_path, own)
        assert (aliases, set(status.values()), left) == ({"champion": max(status)}, {"champion"}, []), wanted
    promote(made / "better", own, GATE, SCORING)
    back = ["registry", "rollback", "--root", str(made / "first"), "--model", own.model]
    (killed,) = forks.run(back, killed_at=point_of_rollback(forks, made, model))
    assert killed["code"] == 9
    (repeated,) = forks.run(back)
    assert repeated["code"] == OK, repeated["output"]
    assert list(state(tmp_path, own)[1].values()).count("champion") == 1
    assert LedgerStore.open(connect(tmp_path), own.model).read().entries[-1].number == 3


def point_of_rollback(forks: Forks, made: Path, model: Registry) -> int:
    """The request by which a rollback is decided."""
    own = Registry(f"{model.model}back")
    promote(made / "first", own, GATE, SCORING)
    promote(made / "better", own, GATE, SCORING)
    (whole,) = forks.run(["registry", "rollback", "--root", str(made / "first"), "--model", own.model])
    return next(number for number, one in enumerate(whole["requests"], 1) if "log-parameter" in one)


def finished(root: Path, model: Registry, forks: Forks, folder: Path) -> str:
    """Repeat a promotion that was cut off; the version that it made, which is champion, with nothing left beside it."""
    (repeated,) = forks.run(promoting(root, model))
    assert repeated["code"] == OK, repeated["output"]
    aliases, status, left = state(folder, model)
    new = max(status, key=int)
    assert (aliases, left) == ({"champion": new}, [])
    assert [version for version, said in status.items() if said == "champion"] == [new]
    return new


def killed_and_repeated(points: Iterable[int], made: Path, forks: Forks, model: Registry, folder: Path) -> None:
    """Kill a promotion after each of those requests, as far as there are any, and repeat it."""
    champion = state(folder, model)[0]["champion"]
    for point in points:
        root = fresh(made, folder, point)
        (killed,) = forks.run(promoting(root, model), killed_at=point)
        print(f"after request {point}: exit code {killed['code']}", flush=True)
        if killed["code"] == OK:
            break  # there is no request so late
        assert killed["code"] == 9, killed["output"]
        aliases, status, _ = state(folder, model)
        assert aliases["champion"] in (champion, max(status, key=int)), point
        champion = finished(root, model, forks, folder)
    require_whole(model, folder)


def require_whole(model: Registry, folder: Path) -> None:
    """One entry for each version, in a ledger that nothing is wrong with."""
    ledger = LedgerStore.open(connect(folder), model.model).read()
    assert ledger.problems() == []
    assert sorted(entry.version for entry in ledger.entries) == sorted(state(folder, model)[1])


def test_a_promotion_killed_here_and_there(made, servers, model, forks, tmp_path):
    promote(made / "first", model, GATE, SCORING)
    (whole,) = forks.run(promoting(fresh(made, tmp_path, 0), model))
    said = whole["requests"]
    # After the run was made, amid the upload, after the version, after the ledger's entry, amid aliases and tags.
    points = [next(index for index, one in enumerate(said, 1) if wanted in one) + later for wanted, later in
              (("runs/create", 0), ("PUT", 5), ("model-versions/create", 0), ("runs/log-parameter", 0),
               ("runs/log-parameter", 4))]  # fmt: skip
    killed_and_repeated(points, made, forks, model, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_promotion_killed_after_each_of_its_requests(made, servers, model, forks, tmp_path):
    """Some seventy, two promotions for each: a quarter of an hour."""
    promote(made / "first", model, GATE, SCORING)
    killed_and_repeated(range(1, 1000), made, forks, model, tmp_path)


def meanwhile(change: Callable[[], None], forks: Forks, command: list[str], point: int, file: Path) -> dict:
    """How a command ends that waits after that request until something has changed."""
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(forks.run, command, killed_at=point, paused=str(file))
        wait_until(lambda: file.exists() or running.done(), "the command to get there")
        assert file.exists(), running.result()
        try:
            change()
        finally:
            file.unlink()
        return running.result()[0]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_server_that_ends_between_two_requests_of_a_promotion(made, servers, model, forks, tmp_path):
    """The promotion waits there, goes on without MLflow or with a database that has been started anew, and is repeated.

    What the servers hold then is what they hold when the promotion is killed at the same place.
    """
    promote(made / "first", model, GATE, SCORING)
    (whole,) = forks.run(promoting(fresh(made, tmp_path, 0), model))
    champion = state(tmp_path, model)[0]["champion"]

    def restart_database() -> None:
        servers.postgres.stop()
        servers.postgres.start()

    places = ("runs/create", "PUT", "model-versions/create", "log-parameter", "registered-models/alias")
    cases = [(place, end) for place in places for end in (servers.mlflow.kill, restart_database)]
    for number, (place, end) in enumerate(cases, 1):
        root = fresh(made, tmp_path, number)
        point = max(index for index, one in enumerate(whole["requests"], 1) if place in one)
        ended = meanwhile(end, forks, promoting(root, model), point, tmp_path / "paused")
        print(f"{end.__name__} after {place}: exit code {ended['code']}", flush=True)
        if end == servers.mlflow.kill:
            assert ended["code"] == BAD_INPUT and "run it again" in ended["output"], ended["output"]
            servers.mlflow.be_up()
        assert ended["code"] in (OK, BAD_INPUT), ended["output"]
        settled(lambda: state(tmp_path, model))
        aliases, status, _ = state(tmp_path, model)
        assert aliases["champion"] in (champion, max(status, key=int)), place
        champion = finished(root, model, forks, tmp_path)
    require_whole(model, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_s3_that_answers_nobody_between_two_requests_of_a_promotion(
    made, servers, model, forks, impatient, tmp_path
):
    """Before files are stored, amid them, before they are read again, and once the decision is kept with the ledger."""
    promote(made / "first", model, GATE, SCORING)
    (whole,) = forks.run(promoting(fresh(made, tmp_path, 0), model))
    for number, place in enumerate(("runs/create", "PUT", "model-versions/create", "log-parameter"), 1):
        root, champion = fresh(made, tmp_path, number), state(tmp_path, model)[0]["champion"]
        point = next(index for index, one in enumerate(whole["requests"], 1) if place in one)
        try:
            ended = meanwhile(servers.s3.pause, impatient, promoting(root, model), point, tmp_path / "paused")
        finally:
            servers.s3.resume()
        print(f"paused after {place}: exit code {ended['code']}", flush=True)
        assert ended["code"] == BAD_INPUT and "run it again" in ended["output"], ended["output"]
        servers.s3.wait()
        aliases, status, _ = settled(lambda: state(tmp_path, model))
        assert aliases["champion"] in (champion, max(status, key=int)), place
        finished(root, model, forks, tmp_path)
    require_whole(model, tmp_path)


def test_servers_that_fail_meanwhile(made, servers, model, tmp_path, monkeypatch):
    promote(made / "first", model, GATE, SCORING)
    root = fresh(made, tmp_path, 1)
    gate = Gate(yaml.safe_load((root / "params.yaml").read_text())["gate"], "params.yaml: gate")

    # The database is restarted: connections break, the server goes on.
    servers.postgres.stop()
    with pytest.raises(UserError, match=r"the registry at http://127\.0\.0\.1:\d+ (failed|cannot be reached)"):
        promote(root, model, gate, SCORING)
    servers.postgres.start()
    done = settled(lambda: promote(root, model, gate, SCORING))
    assert (done.version, done.replaced) == ("2", "1") and state(tmp_path, model)[0] == {"champion": "2"}

    # S3 is down while files are stored: nothing is registered, and the next attempt leaves nothing of it.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    root = fresh(made, tmp_path, 2)
    gate = Gate(yaml.safe_load((root / "params.yaml").read_text())["gate"], "params.yaml: gate")
    servers.s3.pause()
    try:
        with pytest.raises(UserError, match="run it again"):
            promote(root, model, gate, SCORING)
    finally:
        servers.s3.resume()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    assert state(tmp_path, model)[0] == {"champion": "2"} and state(tmp_path, model)[2] != []
    assert settled(lambda: promote(root, model, gate, SCORING)).version == "3"
    former = dict.fromkeys("12", "former champion")
    assert state(tmp_path, model) == ({"champion": "3"}, former | {"3": "champion"}, [])

    # The server itself is killed, and comes back.
    servers.mlflow.kill()
    with pytest.raises(UserError, match="cannot be reached"):
        rollback(root, model, None, "")
    servers.mlflow.be_up()
    assert settled(lambda: rollback(root, model, None, "")).version == "2"


def settled(command: Callable[[], Done]) -> Done:
    """The same command until the servers answer again."""
    for _ in range(20):
        try:
            return command()
        except (UserError, MlflowException) as error:
            said = error
            time.sleep(1)
    raise said
