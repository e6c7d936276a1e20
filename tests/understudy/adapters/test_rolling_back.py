"""The way back to a former champion: cut off and repeated, and past versions that were deleted."""

from dataclasses import replace

import pytest
from promoted import REGISTRY, champions, wrong
from tiny_students import MODEL, SCORING, write_verdict

from understudy.adapters import leftovers
from understudy.adapters.ledger_store import LedgerStore
from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.adapters.rolling_back import rollback
from understudy.errors import UserError
from understudy.metrics.protocol import MIOU

pytestmark = pytest.mark.slow


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
