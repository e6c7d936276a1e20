"""Entries and decisions that nobody made by promoting: they are found, and make no champion."""

from dataclasses import replace

import pytest
from promoted import REGISTRY, champions, refuse_the_worse, take, wrong
from tiny_students import MODEL, SCORING, write_verdict

from understudy.adapters import leftovers
from understudy.adapters.followed import load_translator
from understudy.adapters.ledger_store import TAG, LedgerStore, entry
from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.adapters.rolling_back import rollback
from understudy.errors import DATA_FAILED, UserError
from understudy.metrics.protocol import MIOU

pytestmark = pytest.mark.slow


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


def test_a_changed_ledger_is_found_and_nothing_is_built_on_it(root, registered):
    import sqlite3

    assert wrong(root, registered) == ""
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("UPDATE params SET value = replace(value, '\"promoted\"', '\"refused\"') WHERE key = '000001'")
    assert "entry 2 does not follow the entry before it" in wrong(root, registered)
    with pytest.raises(UserError, match="its ledger cannot be trusted") as refused:
        rollback(root, REGISTRY, "1", "")
    assert refused.value.code == DATA_FAILED
