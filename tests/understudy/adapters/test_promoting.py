"""From a verdict to the champion and back, on the SQLite file of a folder, with students that are really measured."""

import json
import os
import time
from pathlib import Path

import pytest
from promoted import REGISTRY, champions, stored, take
from tiny_students import MODEL, POLICY, SCORING, write_verdict

from understudy.adapters import leftovers, run_marks
from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.mlflow import Store, connect
from understudy.adapters.promoting import alone, promote
from understudy.adapters.rolling_back import rollback
from understudy.adapters.run_marks import COMMAND_TAG, PROCESS_TAG, PROMOTE
from understudy.adapters.verifying import verify
from understudy.cli import main
from understudy.errors import BAD_INPUT, GATE_FAILED, OK, UserError
from understudy.files import read_json, sha256, write_json
from understudy.gate import STUDENT
from understudy.locks import holder
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.verdict import PATH

pytestmark = pytest.mark.slow


def test_the_story(made, root, capsys):
    gate = take(made, "first", root)
    first = promote(root, REGISTRY, gate, SCORING)
    assert (first.version, first.registered, first.replaced) == ("1", True, None)
    assert champions(root) == {"champion": "1"}
    assert promote(root, REGISTRY, gate, SCORING).registered is False

    take(made, "better", root)
    better = promote(root, REGISTRY, gate, SCORING)
    assert (better.version, better.replaced) == ("2", "1") and champions(root) == {"champion": "2"}
    assert any(MIOU in note and "better than the champion's" in note for note in better.notes)

    take(made, "worse", root)
    numbers = rf"version 3 stays challenger(.|\n)*{MIOU}.*worse than the champion's"
    with pytest.raises(UserError, match=numbers) as worse:
        promote(root, REGISTRY, gate, SCORING)
    assert worse.value.code == GATE_FAILED and champions(root) == {"champion": "2", "challenger": "3"}
    with pytest.raises(UserError, match="version 3 stays challenger"):
        promote(root, REGISTRY, gate, SCORING)

    with pytest.raises(UserError, match="version 3 has never been champion"):
        rollback(root, REGISTRY, "3", "")
    back = rollback(root, REGISTRY, None, "flicker in the sky")
    assert (back.version, back.replaced) == ("1", "2") and champions(root)["champion"] == "1"
    take(made, "better", root)
    with pytest.raises(UserError, match=r"rolled back from it on .*flicker in the sky.*--again"):
        promote(root, REGISTRY, gate, SCORING)
    assert promote(root, REGISTRY, gate, SCORING, again=True).version == "2"

    found = verify(root, REGISTRY, gate, SCORING, None)
    assert found.clean and found.unmeasured is None and len(found.checks) == 7, found
    assert verify(root, REGISTRY, gate, SCORING, "3").clean

    # Everything of the decision is on the version, and the same in the ledger.
    client = connect(root).client
    tags = client.get_model_version(MODEL, "3").tags
    assert (tags["status"], tags["replaced"]) == ("refused", "2") and "@" in tags["decided_by"]
    decision = json.loads(tags["decision"])
    assert decision["policy"] == POLICY and decision["measured"]["models"].keys() == {"student", "champion"}
    assert tags["git_commit"] and tags["data_sha256"] and float(tags[f"metric.{MIOU}"]) < 0.5
    assert "## Limits" in client.get_model_version(MODEL, "3").description

    capsys.readouterr()
    assert main(["registry", "list", "--root", str(root)]) == OK
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == ["version", "3", "2", "1"] and MIOU in listed
    assert main(["registry", "show", "champion", "--root", str(root)]) == OK
    shown = capsys.readouterr().out
    assert "tiny version 2 (champion)" in shown and "flicker in the sky" in shown and "6. " not in shown
    assert main(["registry", "show", tags["git_commit"][:9], "--root", str(root)]) == OK
    assert main(["registry", "diff", "1", "2", "--root", str(root)]) == OK
    assert "better" in capsys.readouterr().out
    assert main(["registry", "show", "7", "--root", str(root)]) == BAD_INPUT
    assert main(["registry", "verify", "--root", str(root)]) == OK
    assert "  ok     its evaluation comes out again" in capsys.readouterr().out


def test_an_edited_verdict_promotes_nobody(made, root):
    gate = take(made, "worse", root)
    strict = {MIOU: {"min": 0.5}}
    write_verdict(root, strict)
    verdict = read_json(root / PATH)
    assert verdict["passed"] is False
    edited = json.loads(json.dumps(verdict).replace('"failed"', '"passed"')) | {"passed": True}
    write_json(root / PATH, edited)
    with pytest.raises(UserError, match="is not what the gate makes of"):
        promote(root, REGISTRY, Gate(strict, gate.source), SCORING)
    assert not (root / ".understudy/registry.lock").exists()


def test_a_challenger_whose_files_were_replaced_is_not_promoted(made, root, registered):
    rollback(root, REGISTRY, None, "")
    path = stored(root, "2") / "artifacts/weights.safetensors"
    before = path.read_bytes()
    path.write_bytes((stored(root, "1") / "artifacts/weights.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"version 2: not promoted: its files are not those(.|\n)*weights"):
        promote(root, REGISTRY, registered, SCORING, again=True)
    path.write_bytes(before)
    # Nor is anybody compared with a champion that is not what was promoted.
    (stored(root, "1") / "artifacts/arch.json").write_text("{}")
    with pytest.raises(UserError, match="the files of version 1, the champion, are not those that were promoted"):
        promote(root, REGISTRY, registered, SCORING, again=True)
    assert champions(root)["champion"] == "1"


def cut_off(root: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promote the student at hand, killed before its version is decided upon."""
    with monkeypatch.context() as patch:
        patch.setattr(LedgerStore, "append", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promote(root, REGISTRY, gate, SCORING)


def left(root: Path) -> set[str]:
    """Versions that are there; of every other one the run is deleted."""
    store = connect(root)
    there = store.client.search_model_versions(f"name = '{MODEL}'")
    runs = store.client.search_runs([store.experiment], f"tags.`{COMMAND_TAG}` = '{PROMOTE}'")
    assert {run.info.run_id for run in runs} == {version.run_id for version in there}
    return {str(version.version) for version in there}


def test_a_version_that_a_killed_promotion_left_is_removed_by_the_next_command(made, root, registered, monkeypatch):
    gate = write_verdict(root, {MIOU: {"min": 0.04, "max_worse_than_champion": 0.02}})
    cut_off(root, gate, monkeypatch)
    assert champions(root) == {"champion": "2", "challenger": "3"} and left(root) == {"1", "2", "3"}
    # Another student is promoted: the version is gone, its alias and its run too.
    another = write_verdict(root, {MIOU: {"min": 0.03, "max_worse_than_champion": 0.02}})
    assert promote(root, REGISTRY, another, SCORING).version == "4"
    assert champions(root) == {"champion": "4"} and left(root) == {"1", "2", "4"}
    # The same student again, and then a rollback.
    gate = write_verdict(root, {MIOU: {"min": 0.04, "max_worse_than_champion": 0.02}})
    cut_off(root, gate, monkeypatch)
    assert left(root) == {"1", "2", "4", "5"}
    assert rollback(root, REGISTRY, None, "").version == "2"
    assert champions(root) == {"champion": "2"} and left(root) == {"1", "2", "4"}
    # What another process is at work on stays; and whoever goes on with a version has its run, deleted or not.
    cut_off(root, gate, monkeypatch)
    client, store = connect(root).client, connect(root)
    run = client.get_model_version(MODEL, "6").run_id
    client.set_tag(run, PROCESS_TAG, run_marks._process(os.getppid()))
    leftovers.settle(store, MODEL, LedgerStore.open(store, MODEL))
    assert left(root) == {"1", "2", "4", "6"}
    client.set_tag(run, PROCESS_TAG, "0")
    client.delete_run(run)
    done = promote(root, REGISTRY, gate, SCORING)
    assert (done.version, done.registered) == ("6", False)
    assert client.get_run(run).info.lifecycle_stage == "active" and left(root) == {"1", "2", "4", "6"}


def test_a_challenger_whose_alias_was_taken_with_the_champion_s_gets_it_back(made, root, registered, monkeypatch):
    take(made, "worse", root)
    settle = leftovers.settle

    def taken(store, model, *arguments):
        said = settle(store, model, *arguments)
        if "challenger" in champions(root):
            store.client.delete_registered_model_alias(model, "challenger")
        return said

    monkeypatch.setattr(leftovers, "settle", taken)
    with pytest.raises(UserError, match="version 3 stays challenger"):
        promote(root, REGISTRY, registered, SCORING)
    assert champions(root) == {"champion": "2", "challenger": "3"}


def test_roots_that_share_a_database_wait_for_one_another(tmp_path):
    database = tmp_path / "shared" / "mlflow.db"
    for root in (tmp_path / "one", tmp_path / "other"):
        with alone(root, Store(None, f"sqlite:///{database}", "0")):
            assert holder(database.parent / ".understudy/registry.lock") == os.getpid()
        assert not root.exists()


def test_two_machines_of_one_name_are_two(monkeypatch):
    own = run_marks.mark(PROMOTE, MODEL)
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() in own[run_marks.HOST_TAG]
    assert not run_marks.going_on(own, 0.0)
    elsewhere = own | {run_marks.HOST_TAG: own[run_marks.HOST_TAG].replace("-", "_")}
    assert run_marks.going_on(elsewhere, 0.0) and not run_marks.going_on(elsewhere | {run_marks.SINCE_TAG: "7"}, 0.0)
    del elsewhere[run_marks.SINCE_TAG]
    assert run_marks.going_on(elsewhere, time.time()) and not run_marks.going_on(elsewhere, 0.0)


def test_a_model_of_that_name_that_is_not_ours_is_left_alone(made, root):
    gate = take(made, "first", root)
    connect(root).client.create_registered_model(MODEL)
    with pytest.raises(UserError, match="was not registered by understudy"):
        promote(root, REGISTRY, gate, SCORING)


def test_the_same_files_under_another_verdict_are_another_version(made, root):
    gate = take(made, "first", root)
    promote(root, REGISTRY, gate, SCORING)
    policy = {MIOU: {"min": 0.04, "max_worse_than_champion": 0.0}}
    looser = write_verdict(root, policy)
    again = promote(root, REGISTRY, looser, SCORING)
    assert (again.version, again.replaced) == ("2", "1")
    assert sha256(root / STUDENT[1]) == connect(root).client.get_model_version(MODEL, "2").tags["weights_sha256"]
    assert read_json(root / PATH)["policy"] == policy
