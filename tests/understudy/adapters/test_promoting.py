"""From a verdict to the champion and back, on the SQLite file of a folder, with students that are really measured."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_students import MODEL, POLICY, SCORING, write_run, write_student, write_verdict

from understudy.adapters import leftovers, run_marks
from understudy.adapters.followed import load_translator
from understudy.adapters.ledger_store import TAG, LedgerStore, entry
from understudy.adapters.mlflow import Store, connect
from understudy.adapters.promoting import alone, promote
from understudy.adapters.rolling_back import rollback
from understudy.adapters.run_marks import COMMAND_TAG, PROCESS_TAG, PROMOTE
from understudy.adapters.verifying import verify
from understudy.cli import main
from understudy.data.prepared import load_info
from understudy.errors import BAD_INPUT, DATA_FAILED, GATE_FAILED, OK, UserError
from understudy.export.network import write_onnx
from understudy.export.record import FILES, RECORD
from understudy.files import read_json, sha256, write_json
from understudy.gate import DATASET, EVALUATION, STUDENT
from understudy.locks import holder
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.params.registry import Registry
from understudy.verdict import PATH
from understudy.weights import load_generator

pytestmark = pytest.mark.slow
REGISTRY = Registry(MODEL)
FIRST, BETTER, WORSE = 20, 40, 10  # steps that a student learns for


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Three runs in one folder: `first`, `better` and `worse` hold artifacts, with one data set, judge and teacher."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first")
    for name, steps in (("better", BETTER), ("worse", WORSE)):
        shutil.copytree(folder / "first", folder / name)
        write_student(folder / name, steps)
    write_student(folder / "first", FIRST)
    return folder


def take(made: Path, name: str, root: Path) -> Gate:
    """Put a run into `root`; returns its policy."""
    shutil.copytree(made / name, root, dirs_exist_ok=True)
    return Gate(POLICY, "params.yaml: gate")


def champions(root: Path) -> dict[str, str]:
    found = connect(root).client.get_registered_model(MODEL).aliases
    return {alias: str(version) for alias, version in found.items()}


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


@pytest.fixture
def registered(made, root) -> Gate:
    """Versions 1 and 2, the champion."""
    gate = take(made, "first", root)
    promote(root, REGISTRY, gate, SCORING)
    take(made, "better", root)
    promote(root, REGISTRY, gate, SCORING)
    return gate


def wrong(root: Path, gate: Gate, version: str | None = None) -> str:
    return "\n".join(said for check in verify(root, REGISTRY, gate, SCORING, version).checks for said in check.wrong)


def stored(root: Path, version: str) -> Path:
    """Where the files of a version lie."""
    return Path(connect(root).client.get_model_version(MODEL, version).source.removeprefix("file://"))


def test_an_alias_that_was_moved_by_hand_is_found_and_set_right(root, registered):
    client = connect(root).client
    client.set_registered_model_alias(MODEL, "champion", "1")
    assert "points to version 1, the ledger says version 2" in wrong(root, registered)
    promote(root, REGISTRY, registered, SCORING)
    assert champions(root) == {"champion": "2"}


def test_an_alias_that_was_moved_to_a_model_of_another_make_is_found(root, registered, capsys):
    import mlflow

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    store = connect(root)
    mlflow.pyfunc.save_model(root / "echo", python_model=Echo())
    other = store.client.create_model_version(MODEL, (root / "echo").as_uri()).version
    store.client.set_registered_model_alias(MODEL, "champion", other)
    assert main(["registry", "verify", "--root", str(root)]) == GATE_FAILED
    said = capsys.readouterr().out
    assert f"the alias points to version {other}, the ledger says version 2" in said
    assert "tiny version 2\n" in said and "ok     its evaluation comes out again" in said
    assert main(["registry", "verify", "champion", "--root", str(root)]) == GATE_FAILED
    said = capsys.readouterr().out
    assert f"tiny version {other}\n" in said and "or were not registered by understudy" in said
    assert main(["registry", "list", "--root", str(root)]) == OK
    assert f"the alias points to version {other}" in capsys.readouterr().out


def test_a_champion_of_which_nothing_is_left_in_the_store_is_wrong(root, registered, capsys):
    commit = connect(root).client.get_model_version(MODEL, "2").tags["git_commit"]
    assert main(["registry", "verify", commit[:9], "--root", str(root)]) == OK
    folder = stored(root, "2")
    shutil.rmtree(folder / "artifacts")
    assert main(["registry", "verify", "--root", str(root)]) == GATE_FAILED
    shutil.rmtree(folder)
    assert "its files are gone from" in wrong(root, registered)
    assert main(["registry", "verify", "9", "--root", str(root)]) == BAD_INPUT
    connect(root).client.delete_model_version(MODEL, "2")
    assert main(["registry", "verify", "--root", str(root)]) == GATE_FAILED
    said = capsys.readouterr().out
    assert "version 2 is not in the registry, or was deleted" in said and "the alias points to nothing" in said


@pytest.mark.parametrize("file", ["artifacts/weights.safetensors", "code/understudy/translator.py", "MLmodel"])
def test_a_version_whose_files_were_changed_is_found_and_cannot_be_gone_back_to(file, root, registered):
    path = stored(root, "1") / file
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    assert f"{file}: was changed" in wrong(root, registered, "1")
    with pytest.raises(UserError, match="its files are not those that were promoted"):
        rollback(root, REGISTRY, "1", "")
    path.write_bytes(before)
    (path.parent / "more.py").write_text("")
    assert "more.py: was added" in wrong(root, registered, "1")
    (path.parent / "more.py").unlink()
    assert wrong(root, registered, "1") == ""
    path.unlink()
    assert f"{file}: is gone" in wrong(root, registered, "1")


def test_a_forged_verdict_is_found_though_every_checksum_was_forged_too(root, registered):
    from understudy.checksums import write_sums

    folder = stored(root, "2")
    verdict = read_json(folder / "artifacts/verdict.json")
    verdict["metrics"][MIOU] = 0.99
    write_json(folder / "artifacts/verdict.json", verdict)
    sums = write_sums(folder)
    client = connect(root).client
    client.set_model_version_tag(MODEL, "2", "verdict_sha256", sha256(folder / "artifacts/verdict.json"))
    client.set_model_version_tag(MODEL, "2", "manifest_sha256", sums)
    client.set_model_version_tag(MODEL, "2", f"metric.{MIOU}", "0.99")
    said = wrong(root, registered)
    assert "SHA256SUMS: is gone or was changed" in said and "is not what the gate makes of" in said


def test_a_forged_evaluation_is_found_by_measuring_anew(made, root):
    gate = take(made, "worse", root)
    evaluation = read_json(root / EVALUATION)
    evaluation["models"]["student"][MIOU]["value"] = 0.86
    write_json(root / EVALUATION, evaluation)
    write_verdict(root)
    promote(root, REGISTRY, gate, SCORING)  # the first: there is nothing to compare with
    assert f"{MIOU} was 0.86 and is 0." in wrong(root, gate)
    take(made, "first", root)
    evaluation = read_json(root / EVALUATION)
    evaluation["models"]["student"][MIOU]["value"] = 0.9
    write_json(root / EVALUATION, evaluation)
    write_verdict(root)
    with pytest.raises(UserError, match=r"its evaluation does not come out again: .* was 0\.9 and is"):
        promote(root, REGISTRY, gate, SCORING)


def test_what_the_student_was_compared_with_is_measured_anew_where_it_is_at_hand(made, root):
    gate = take(made, "worse", root)
    evaluation = read_json(root / EVALUATION)
    evaluation["models"]["teacher"][MIOU]["value"] = 0.1
    evaluation["differences"]["student_minus_baseline"][MIOU] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    write_json(root / EVALUATION, evaluation)
    write_verdict(root)
    promote(root, REGISTRY, gate, SCORING)
    said = wrong(root, gate)
    assert f"the teacher's {MIOU} was 0.1 and is 0." in said
    assert f"the difference student_minus_baseline of {MIOU} was 0.5 and is" in said
    (root / "artifacts/teacher/weights.safetensors").write_bytes(b"another")
    found = verify(root, REGISTRY, gate, SCORING, None)
    said = "\n".join(said for check in found.checks for said in check.wrong)
    assert "the teacher's" not in said and "student_minus_baseline" in said
    assert any(note.startswith("the teacher was not measured anew: ") for note in found.notes)


def test_an_exported_file_that_is_not_the_student_is_found(made, root):
    gate = take(made, "first", root)
    export(root, made / "first")
    promote(root, REGISTRY, gate, SCORING)
    checked = {check.what for check in verify(root, REGISTRY, gate, SCORING, None).checks}
    assert "its exported files give the student's photos" in checked and wrong(root, gate) == ""
    take(made, "better", root)
    export(root, made / "first")  # what is measured is the one, what would be served the other
    promote(root, REGISTRY, gate, SCORING)
    assert "student.onnx: is not the student" in wrong(root, gate)


def export(root: Path, other: Path) -> None:
    """Export the student in `other` as if it were the one in `root`, with the numbers of that one."""
    arch, net = load_generator(*(other / path for path in STUDENT))
    write_onnx(net.eval(), arch, load_info(root / DATASET), sha256(root / STUDENT[1]), root / FILES["onnx"])
    evaluation = read_json(root / EVALUATION)
    write_json(root / RECORD, {
        "schema": 1, "evaluation_sha256": sha256(root / EVALUATION), "differences": {}, "collapse": {"onnx": None},
        "models": {"onnx": evaluation["models"]["student"]}, "files": {FILES["onnx"]: sha256(root / FILES["onnx"])},
    })  # fmt: skip
    write_verdict(root)


def test_a_stale_verdict_is_said(root, registered, capsys):
    strict = Gate({MIOU: {"min": 0.95}}, "params.yaml: gate")
    with pytest.raises(UserError, match="policy has changed since the verdict"):
        promote(root, REGISTRY, strict, SCORING)
    found = verify(root, REGISTRY, strict, SCORING, None)
    assert found.clean and "would fail" in found.notes[0]
    assert main(["registry", "verify", "--root", str(root)]) == OK


def test_other_data_cannot_verify(root, registered, capsys):
    (root / "artifacts/prepare/test.zip").write_bytes(b"other")
    assert main(["registry", "verify", "--root", str(root)]) == DATA_FAILED
    assert "check out the commit that it came from" in capsys.readouterr().err


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


def refuse_the_worse(made, root, registered):
    """Have version 3 refused; the store, and the ledger as it is kept there and as it is read."""
    take(made, "worse", root)
    with pytest.raises(UserError, match="stays challenger"):
        promote(root, REGISTRY, registered, SCORING)
    store = connect(root)
    ledgers = LedgerStore.open(store, MODEL)
    return store, ledgers, ledgers.read()


def test_an_entry_that_nobody_decided_makes_no_champion(made, root, registered):
    store, ledgers, ledger = refuse_the_worse(made, root, registered)
    refused = ledger.entries[-1]
    store.client.log_param(ledgers.run, "3", refused.text().replace("refused", "promoted"))  # not a number of ours
    assert ledgers.read() == ledger
    forged = replace(refused, number=4, action="promoted", previous=ledger.head)
    store.client.log_param(ledgers.run, "000004", forged.text())
    assert "entry 4 is not what" in wrong(root, registered)
    with pytest.raises(UserError, match="entry 4 is not what"):
        promote(root, REGISTRY, registered, SCORING)
    assert champions(root)["champion"] == "2"


def test_an_entry_and_a_decision_by_hand_make_no_champion(made, root, registered):
    store, ledgers, ledger = refuse_the_worse(made, root, registered)
    refused = ledgers.decision(ledger.entries[-1])
    forged = refused | {"action": "promoted", "reasons": [], "rules": [], "measured": {}}
    assert ledgers.append(entry(ledger, "promoted", "3", ledger.entries[-1].manifest_sha256, forged), forged)
    assert "entry 4 promoted version 3 although: it was not compared with version 2" in wrong(root, registered)
    with pytest.raises(UserError, match="nothing shows that version 3, the champion by the ledger, met its gate"):
        promote(root, REGISTRY, registered, SCORING)
    assert champions(root)["champion"] == "2"
    # With the alias set by hand too it is not used, and nobody is compared with it.
    store.client.set_registered_model_alias(MODEL, "champion", "3")
    with pytest.raises(UserError, match="version 3: nothing shows that it met its gate"):
        load_translator(root, f"models:/{MODEL}@champion")
    take(made, "first", root)
    with pytest.raises(UserError, match="nothing shows that version 3, the champion, met its gate"):
        promote(root, REGISTRY, write_verdict(root, {MIOU: {"min": 0.04, "max_worse_than_champion": 0.02}}), SCORING)
    assert rollback(root, REGISTRY, None, "").version == "2"


@pytest.mark.parametrize(("model", "value"), [("student", 0.99), ("champion", 0.01)])
def test_a_decision_of_invented_numbers_is_found(model, value, made, root, registered):
    take(made, "worse", root)
    with pytest.raises(UserError, match="stays challenger"):
        promote(root, REGISTRY, registered, SCORING)
    ledgers = LedgerStore.open(connect(root), MODEL)
    ledger = ledgers.read()
    forged = ledgers.decision(ledger.entries[-1]) | {"action": "promoted", "reasons": [], "rules": []}
    forged["measured"]["models"][model][MIOU] |= {"value": value, "low": -9.0, "high": 9.0}
    assert ledgers.append(entry(ledger, "promoted", "3", ledger.entries[-1].manifest_sha256, forged), forged)
    assert f"by its decision the {model}'s {MIOU} was {value}, by its own evaluation 0." in wrong(root, registered)


def test_a_ledger_that_the_model_no_longer_names_is_neither_replaced_nor_removed(root, registered):
    store = connect(root)
    own = LedgerStore.open(store, MODEL)
    other = store.client.create_run(store.experiment).info.run_id
    store.client.set_registered_model_tag(MODEL, TAG, other)
    with pytest.raises(UserError, match=f"another ledger of this model has entries too: run {own.run}") as refused:
        promote(root, REGISTRY, registered, SCORING)
    assert refused.value.code == DATA_FAILED
    assert f"another ledger of this model has entries too: run {own.run}" in wrong(root, registered)
    assert store.client.get_run(own.run).info.lifecycle_stage == "active"
    leftovers._remove_runs(store, MODEL)
    assert store.client.get_run(own.run).info.lifecycle_stage == "active"
    store.client.set_registered_model_tag(MODEL, TAG, own.run)
    assert wrong(root, registered) == "" and champions(root) == {"champion": "2"}


def test_a_rollback_that_was_cut_off_is_finished_and_not_done_twice(made, root, registered, monkeypatch):
    better = write_verdict(root, {MIOU: {"min": 0.04, "max_worse_than_champion": 0.02}})
    assert promote(root, REGISTRY, better, SCORING).version == "3"
    settle, calls = leftovers.settle, []

    def cut_off(*arguments):
        calls.append(arguments)
        if len(calls) == 2:  # the first looks, the second would show what was decided
            raise KeyboardInterrupt
        return settle(*arguments)

    monkeypatch.setattr(leftovers, "settle", cut_off)
    with pytest.raises(KeyboardInterrupt):
        rollback(root, REGISTRY, None, "")
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert champions(root) == {"champion": "3"}
    done = rollback(root, REGISTRY, None, "")
    assert (done.version, done.replaced) == ("2", "3") and champions(root) == {"champion": "2"}
    assert rollback(root, REGISTRY, None, "").version == "1"
    # Forward again: the first is not withdrawn by that, the second is still.
    assert rollback(root, REGISTRY, "3", "").version == "3"
    assert rollback(root, REGISTRY, None, "").version == "1"


def test_a_rollback_from_a_version_may_be_repeated_whatever_came_between(root, registered, monkeypatch, capsys):
    third = write_verdict(root, {MIOU: {"min": 0.04, "max_worse_than_champion": 0.02}})
    assert promote(root, REGISTRY, third, SCORING).version == "3"

    def killed(*arguments):
        append(*arguments)
        raise KeyboardInterrupt

    append = LedgerStore.append
    with monkeypatch.context() as patch:
        patch.setattr(LedgerStore, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            rollback(root, REGISTRY, None, "")
    assert "`understudy registry rollback --from 3` finishes it" in capsys.readouterr().out
    store = connect(root)
    leftovers.settle(store, MODEL, LedgerStore.open(store, MODEL))  # as any other command does
    for _ in range(2):
        done = rollback(root, REGISTRY, None, "", leaving="3")
        assert (done.version, done.replaced) == ("2", "3") and champions(root) == {"champion": "2"}
    with pytest.raises(UserError, match="version 2 is the champion and not version 1"):
        rollback(root, REGISTRY, None, "", leaving="1")
    assert rollback(root, REGISTRY, None, "", leaving="2").version == "1"


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


def test_a_changed_ledger_is_found_and_nothing_is_built_on_it(root, registered):
    import sqlite3

    assert wrong(root, registered) == ""
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("UPDATE params SET value = replace(value, '\"promoted\"', '\"refused\"') WHERE key = '000001'")
    assert "entry 2 does not follow the entry before it" in wrong(root, registered)
    with pytest.raises(UserError, match="its ledger cannot be trusted") as refused:
        rollback(root, REGISTRY, "1", "")
    assert refused.value.code == DATA_FAILED


def test_a_champion_that_was_deleted_is_named_and_gone_back_from(root, registered):
    connect(root).client.delete_model_version(MODEL, "2")
    with pytest.raises(UserError, match="version 2, the champion, was deleted from the registry"):
        promote(root, REGISTRY, replace(registered), SCORING)
    assert rollback(root, REGISTRY, "1", "deleted").version == "1"
    assert champions(root)["champion"] == "1"


def test_where_the_champion_and_the_one_before_were_deleted_an_older_one_is_gone_back_to(root, registered):
    third = write_verdict(root, {MIOU: {"min": 0.04, "max_worse_than_champion": 0.02}})
    assert promote(root, REGISTRY, third, SCORING).version == "3"
    for version in "32":
        connect(root).client.delete_model_version(MODEL, version)
    fourth = write_verdict(root, {MIOU: {"min": 0.03, "max_worse_than_champion": 0.02}})
    with pytest.raises(UserError, match=r"version 3, the champion, was deleted .*rollback` to version 1 first"):
        promote(root, REGISTRY, fourth, SCORING)
    assert rollback(root, REGISTRY, None, "").version == "1"
    # With nobody left the student is compared with nobody, and its entry is believed all the same.
    connect(root).client.delete_model_version(MODEL, "1")
    done = promote(root, REGISTRY, fourth, SCORING)
    assert champions(root) == {"champion": done.version} and wrong(root, fourth) == ""


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
