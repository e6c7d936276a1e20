"""What is believed of entries that somebody appended by MLflow's own client, with whatever beside them."""

import hashlib
from dataclasses import replace

import pytest

from understudy.adapters.ledger_store import DECISIONS, LedgerStore, entry, signed
from understudy.adapters.mlflow import Store, connect
from understudy.errors import DATA_FAILED, UserError
from understudy.founded import Judged
from understudy.ledger import Action, Entry

MODEL, SUMS = "street", "a" * 64

pytestmark = pytest.mark.slow


@pytest.fixture
def store(root) -> Store:
    return connect(root)


@pytest.fixture
def ledgers(store) -> LedgerStore:
    return LedgerStore.create(store, MODEL)


def decide(ledgers: LedgerStore, action: Action, version: str, manifest: str = SUMS) -> Entry:
    """Append an entry as a promotion would."""
    ledger = ledgers.read()
    decision = {"model": MODEL, "version": version, "action": action, "champion": ledger.champion, "reasons": [],
                "rules": [], "policy": {}, "measured": {}, "verdict_sha256": "c" * 64, **signed()}  # fmt: skip
    made = entry(ledger, action, version, manifest, decision)
    assert ledgers.append(made, decision)
    return made


@pytest.mark.parametrize("text", ["[]", "{}", "null", "no", "7"])
def test_a_decision_that_is_none_is_a_doubt_and_no_traceback(text, store, ledgers):
    made = decide(ledgers, "promoted", "1")
    written = replace(made, decision_sha256=hashlib.sha256(text.encode()).hexdigest())
    store.client.log_text(ledgers.run, text, f"{DECISIONS}/{written.decision_sha256}.json")
    (said,) = ledgers.doubts(ledgers.trusted(), written, Judged())
    assert "has been changed" in said or "entry 1 is not what" in said


def test_a_decision_that_is_gone_is_a_doubt(ledgers):
    made = decide(ledgers, "promoted", "1")
    assert ledgers.doubts(ledgers.trusted(), made, Judged("c" * 64)) == []
    (said,) = ledgers.doubts(ledgers.trusted(), replace(made, decision_sha256="0" * 64), Judged())
    assert said.endswith("of the ledger of street is gone")


def test_a_rollback_goes_to_what_met_its_gate_before_with_the_files_of_then(ledgers):
    decide(ledgers, "promoted", "1")
    decide(ledgers, "promoted", "2")
    back = decide(ledgers, "rolled back", "1")
    assert ledgers.doubts(ledgers.trusted(), back, Judged("c" * 64)) == []
    assert "is about another verdict" in ledgers.doubts(ledgers.trusted(), back, Judged("d" * 64))[0]
    other = decide(ledgers, "rolled back", "2", "b" * 64)
    assert "with other files than those that were promoted" in ledgers.doubts(ledgers.trusted(), other, Judged())[0]
    never = decide(ledgers, "rolled back", "3")
    decide(ledgers, "promoted", "3")  # afterwards
    assert "which had never met its gate" in ledgers.doubts(ledgers.trusted(), never, Judged())[0]


def test_of_two_ledgers_of_one_model_none_is_believed(store, ledgers):
    decide(ledgers, "promoted", "1")
    other = store.client.create_run(store.experiment, tags=store.client.get_run(ledgers.run).data.tags).info.run_id
    assert ledgers.trusted().champion == "1"  # an empty one lost to it
    store.client.log_param(other, "000001", ledgers.read().entries[0].text())
    with pytest.raises(UserError, match="another ledger of this model has entries too") as refused:
        ledgers.trusted()
    assert refused.value.code == DATA_FAILED
    store.client.delete_run(other)
    assert ledgers.trusted().champion == "1"
