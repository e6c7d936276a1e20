"""A server whose registry somebody has meddled with: who is champion the ledger says, and what is wrong is told."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from served_champion import ADDRESS, MODEL, label_map, promote_student, student

from understudy.adapters.followed import load_translator
from understudy.adapters.ledger_store import TAG, LedgerStore
from understudy.adapters.mlflow import connect
from understudy.checksums import write_sums
from understudy.errors import GATE_FAILED, UserError
from understudy.gate import STUDENT
from understudy.serve.champion import Champion
from understudy.serve.sources import source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A store with a former champion, version 1, and a champion, version 2."""
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert [promote_student(root, seed, exported=False) for seed in (0, 1)] == ["1", "2"]
        yield root


@pytest.fixture
def client(root):
    """A client of the store; afterwards the alias is the champion's again."""
    store = connect(root)
    yield store.client
    champion = LedgerStore.open(store, MODEL).read().champion
    store.client.set_registered_model_alias(MODEL, "champion", champion)


@pytest.fixture
def serving(root):
    """`serving(address)`: a started champion, which is asked by `look`."""
    started = []

    def serve(address: str = ADDRESS) -> Champion:
        champion = Champion(source(root, address), root, "torch", 1)
        champion.start()
        started.append(champion)
        return champion

    yield serve
    for champion in started:
        champion.stop()
        champion.served.batcher.close()


def told(champion: Champion) -> tuple[str, str]:
    """The version that it serves after another look, and what it tells of the registry."""
    champion.look()
    return champion.served.found.version, champion.looked.problem


def test_an_alias_that_was_moved_by_hand_changes_nothing_and_is_said(root, client, serving, caplog, capsys):
    caplog.set_level(logging.WARNING, "understudy.serve")
    before = serving()
    assert told(before) == ("2", "")
    client.set_registered_model_alias(MODEL, "champion", "1")
    wrong = "the alias points to version 1, the ledger says version 2"
    version, problem = told(before)
    assert version == "2" and wrong in problem and before.takeovers == 0
    assert [f"{MODEL} version 2 goes on being served: {problem}"] == [entry.message for entry in caplog.records]

    after = serving()  # as after a restart
    assert after.served.found.version == "2" and wrong in after.looked.problem
    used = load_translator(root, ADDRESS)(label_map()[None])
    np.testing.assert_array_equal(used, student(root)(label_map()[None]))
    assert f"{ADDRESS}: {wrong}" in capsys.readouterr().err
    client.delete_registered_model_alias(MODEL, "champion")
    assert "the alias points to nothing" in told(after)[1]
    client.set_registered_model_alias(MODEL, "champion", "2")
    assert told(after) == ("2", "")


def test_a_version_or_another_alias_is_served_as_it_was_asked_for(client, serving):
    client.set_registered_model_alias(MODEL, "candidate", "1")
    for address in (f"models:/{MODEL}/1", f"models:/{MODEL}@candidate"):
        assert told(serving(address)) == ("1", "")


def test_a_model_without_a_ledger_is_served_and_that_is_said(client, serving):
    version = client.get_model_version(MODEL, "1")
    client.create_registered_model("copy")
    client.create_model_version("copy", version.source, version.run_id)
    client.set_registered_model_alias("copy", "champion", "1")
    version, problem = told(serving("models:/copy@champion"))
    assert version == "1" and "no ledger says that version 1 met a gate" in problem


def test_a_champion_by_hand_alone_is_not_served(root, client, serving):
    LedgerStore.create(connect(root), "hand")
    version = client.get_model_version(MODEL, "1")
    client.create_model_version("hand", version.source, version.run_id)
    client.set_registered_model_alias("hand", "champion", "1")
    with pytest.raises(UserError, match="no version has met its gate; the alias points to version 1") as refused:
        serving("models:/hand@champion")
    assert refused.value.code == GATE_FAILED


def test_files_that_were_changed_are_not_taken_up_though_every_sum_was_forged(root, client, serving):
    before = serving()
    assert promote_student(root, seed=2, exported=False) == "3"
    stored = Path(client.get_model_version(MODEL, "3").source.removeprefix("file://"))
    path = stored / "artifacts" / Path(STUDENT[1]).name
    own, sums = path.read_bytes(), (stored / "SHA256SUMS").read_bytes()
    other = Path(client.get_model_version(MODEL, "1").source.removeprefix("file://"))
    path.write_bytes((other / "artifacts" / path.name).read_bytes())
    client.set_model_version_tag(MODEL, "3", "manifest_sha256", write_sums(stored))
    version, problem = told(before)
    assert version == "2" and "version 3: its files are not those that were promoted: SHA256SUMS" in problem
    with pytest.raises(UserError, match="its files are not those that were promoted"):
        serving()
    path.write_bytes(own)
    (stored / "SHA256SUMS").write_bytes(sums)
    assert told(before) == ("3", "") and before.takeovers == 1


def test_a_ledger_that_was_meddled_with_makes_no_champion(root, client, serving):
    """Last, since what is written into a ledger stays there."""
    before, store = serving(), connect(root)
    champion, ledgers = before.served.found.version, LedgerStore.open(store, MODEL)
    client.delete_registered_model_tag(MODEL, TAG)
    client.set_registered_model_alias(MODEL, "champion", "1")
    version, problem = told(before)
    assert version == champion and "the ledger that said who is champion is gone" in problem
    client.set_registered_model_tag(MODEL, TAG, ledgers.run)

    ledger = ledgers.read()
    number = len(ledger.entries) + 1
    forged = replace(ledger.entries[-1], number=number, version="1", replaces=champion, previous=ledger.head)
    client.log_param(ledgers.run, f"{number:06}", forged.text())
    version, problem = told(before)
    assert version == champion and f"entry {number} is not what decisions/" in problem
    client.log_param(ledgers.run, f"{number + 1:06}", forged.text())
    assert "its ledger cannot be trusted" in told(before)[1]
    with pytest.raises(UserError, match="its ledger cannot be trusted"):
        serving()
