"""The ledger's rules, and that no entry can be changed, taken out or put in without a trace (hypothesis)."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.errors import DATA_FAILED, UserError
from understudy.ledger import FIRST, Action, Entry, Ledger, parse


def after(ledger: Ledger, action: Action, version: str, reason: str = "") -> Ledger:
    entry = Entry(len(ledger.entries) + 1, action, version, ledger.champion or FIRST, "a" * 64, "b" * 64, "me@here",
                  "2026-01-01T00:00:00+00:00", reason, ledger.head)  # fmt: skip
    return Ledger((*ledger.entries, entry))


def story(*said: tuple[Action, str]) -> Ledger:
    ledger = Ledger(())
    for action, version in said:
        ledger = after(ledger, action, version)
    return ledger


def test_who_is_champion_and_who_was_before():
    ledger = story(("promoted", "1"), ("refused", "2"), ("promoted", "3"), ("promoted", "4"))
    assert (ledger.champion, ledger.before()) == ("4", "3")
    back = after(ledger, "rolled back", "3")
    # Going back again goes further back, never to what was gone back from.
    assert (back.champion, back.before()) == ("3", "1")
    assert back.withdrawn("4") == back.entries[-1] and back.withdrawn("3") is None
    again = after(after(back, "promoted", "4"), "promoted", "5")
    assert again.withdrawn("4") is None and again.before() == "4"
    assert Ledger(()).champion is None and Ledger(()).before() is None
    assert story(("refused", "1")).champion is None
    promoted = ledger.promoted("3")
    assert promoted is not None and promoted.number == 3 and ledger.promoted("2") is None
    assert ledger.problems() == [] and again.problems() == []
    # Whoever was deleted is not gone back to.
    assert (ledger.before({"1", "2"}), ledger.before({"2"})) == ("1", None)
    assert ledger.promoted("3", until=2) is None


def test_an_alias_that_is_not_the_champion_s_is_told():
    ledger = story(("promoted", "1"), ("promoted", "2"), ("refused", "3"))
    assert ledger.displaced("2") == "" and Ledger(()).displaced(None) == ""
    assert ledger.displaced("3").startswith("the alias points to version 3, the ledger says version 2: it was moved")
    assert ledger.displaced(None).startswith("the alias points to nothing, the ledger says version 2")
    assert Ledger(()).displaced("1").startswith("the alias points to version 1, the ledger says nothing")


STEPS = st.lists(st.tuples(st.sampled_from(["promoted", "refused", "rolled back"]), st.sampled_from("1234")),
                 min_size=2, max_size=8)  # fmt: skip


@given(STEPS, st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_entry_but_the_last_can_be_changed_taken_out_or_moved(steps, data):
    ledger = story(*steps)
    kept = {entry.number: entry.text() for entry in ledger.entries}
    assert parse(kept) == ledger and ledger.problems() == []
    index = data.draw(st.integers(0, len(steps) - 2))
    entries = list(ledger.entries)
    change = data.draw(st.sampled_from(["by", "version", "drop", "swap"]))
    if change == "drop":
        del entries[index]
    elif change == "swap":
        entries[index], entries[index + 1] = entries[index + 1], entries[index]
    else:
        entries[index] = replace(entries[index], **{change: "9"})
    assert Ledger(tuple(entries)).problems()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"number": 1}', "null"])
def test_a_damaged_entry_is_named(text):
    with pytest.raises(UserError, match="entry 1 is damaged") as damaged:
        parse({1: text})
    assert damaged.value.code == DATA_FAILED


def test_an_unknown_action_is_damage():
    entry = json.loads(story(("promoted", "1")).entries[0].text()) | {"action": "crowned"}
    with pytest.raises(UserError, match="unknown action 'crowned'"):
        parse({1: json.dumps(entry)})
