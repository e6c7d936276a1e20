"""What is believed of a decision, whatever somebody has written into it."""

from typing import Any

import pytest

from understudy.errors import UserError
from understudy.founded import Judged, unfounded
from understudy.ledger import FIRST, Entry
from understudy.metrics.protocol import MIOU

POLICY = {MIOU: {"min": 0.1, "max_worse_than_champion": 0.02}}
VERDICT = "c" * 64


def promotion(replaces: str = "1") -> Entry:
    return Entry(2, "promoted", "2", replaces, "a" * 64, "b" * 64, "me@here", "2026-01-01", "", "d" * 64)


def decision(**changes: Any) -> dict[str, Any]:
    models = {name: {MIOU: {"value": value, "n": 100}} for name, value in (("student", 0.5), ("champion", 0.4))}
    measured = {"told": "measured anew", "kind": "labels", "models": models, "differences": {},
                "collapse": {"student": None, "champion": None}}  # fmt: skip
    return {"reasons": [], "rules": [], "policy": POLICY, "measured": measured, "verdict_sha256": VERDICT} | changes


def said(entry: Entry, written: Any, judged: Judged, *there: str) -> str:
    return "; ".join(unfounded(entry, written, judged, lambda version: version in there))


def test_what_the_gate_decided_is_founded():
    assert said(promotion(), decision(), Judged(VERDICT, POLICY), "1") == ""
    assert said(promotion(), decision(), Judged(), "1") == ""
    assert said(promotion(FIRST), decision(measured={}), Judged(VERDICT, POLICY)) == ""
    # The champion was deleted before, so that there was nobody to be compared with.
    assert said(promotion(), decision(measured={}), Judged(VERDICT, POLICY)) == ""
    unbound = {MIOU: {"min": 0.1}}
    assert said(promotion(), decision(measured={}, policy=unbound), Judged(VERDICT, unbound), "1") == ""


WORSE = decision()["measured"] | {"models": {"student": {MIOU: {"value": 0.3, "n": 100}},
                                             "champion": {MIOU: {"value": 0.4, "n": 100}}}}  # fmt: skip
ALONE = decision()["measured"] | {"models": {"student": {MIOU: {"value": 0.3, "n": 100}}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": {}}, "it was not compared with version 1, the champion then"),
        ({"measured": {}, "policy": {MIOU: {"min": 0.1}}}, "by another policy than its verdict"),
        ({"reasons": ["it flickers"]}, "although: it flickers"),
        ({"rules": [{"outcome": "failed", "message": "0.3 is below"}]}, "although: 0.3 is below"),
        ({"measured": WORSE}, "worse than the champion's"),
        ({"measured": ALONE}, "is compared with the champion's on promotion"),
        ({"verdict_sha256": "e" * 64}, "its decision is about another verdict"),
        ({"measured": {"models": 1}}, "has been changed"),
        ({"measured": 7}, "has been changed"),
        ({"policy": None}, "has been changed"),
        ({"policy": {"luck": {"max_worse_than_champion": 1}}}, "has been changed"),
        ({"rules": [1]}, "has been changed"),
        ({"reasons": None}, "has been changed"),
    ],
)
def test_what_somebody_wrote_is_not(changes, message):
    assert message in said(promotion(), decision(**changes), Judged(VERDICT, POLICY), "1")


@pytest.mark.parametrize("written", [{}, [], None, "promoted", 1])
def test_what_is_no_decision_is_not(written):
    assert "its decision has been changed" in said(promotion(), written, Judged(VERDICT, POLICY), "1")


def test_a_verdict_that_is_none_is_an_error(tmp_path):
    for text in ("[]", "{}", "no"):
        (tmp_path / "verdict.json").write_text(text)
        with pytest.raises(UserError, match=r"verdict\.json"):
            Judged.read(tmp_path / "verdict.json")
