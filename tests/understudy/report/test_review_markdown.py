"""The comment: what no reviewer may miss comes first, and nothing that a branch says can break out of it."""

import dataclasses

from understudy.adapters.branch import Branch
from understudy.metrics.protocol import MIOU
from understudy.params.leaves import Change
from understudy.report.compare import Comparison
from understudy.report.review import CUT, MARKER, Findings, markdown, unreadable
from understudy.report.tables import Table
from understudy.review import PolicyChange, Review
from understudy.verdict import Finding, Verdict

BRANCH = Branch("a" * 40, "aaaaaaa", "origin/main", "b" * 40, (), 0)
VERDICT = Verdict(True, (Finding(MIOU, "min", "passed", "fine", 0.5, 0.6),), {}, {}, "", "", "", {})
FOUND = Findings(BRANCH, Review({}, verdict=VERDICT), [], [], [], None, [], [])


def table(name: str, difference: str) -> Table:
    return Table(f"The {name}", ("", "origin/main", "this run", "difference"), (("miou", "0.5", "0.6", difference),))


def test_the_policy_stands_before_everything_that_it_decides():
    change = PolicyChange(f"{MIOU}.min", 0.5, 0.1, "looser")
    text = markdown(dataclasses.replace(FOUND, policy=[change], judges=["understudy/gate.py"]), None)
    lines = text.splitlines()
    assert lines[:2] == [MARKER, "## PASSED: the student meets its bar"]
    assert lines[5] == "> **Policy changed, and asks for less:**"
    assert lines[6] == f"> - gate.{MIOU}.min: from 0.5 to 0.1 (**looser**)"
    assert text.index("The code that judges changed") < text.index("dvc.lock is fresh") < text.index("| miou | min |")


def test_the_student_is_shown_and_the_others_where_they_differ():
    tables = [table("teacher", "0"), table("student", "+0.1 better"), table("baseline", "-0.1 worse")]
    comparison = Comparison("origin/main", "b" * 40, ("passed", "passed"), tables, table("parameters", ""))
    text = markdown(dataclasses.replace(FOUND, comparison=comparison), None)
    assert text.index("**The student**") < text.index("<summary>The baseline</summary>") < text.index("Verdict: PASSED")
    assert "The teacher: no metric differs." in text and "**The teacher**" not in text


def test_a_branch_cannot_write_into_the_comment_but_as_text():
    hostile = "a|b\n## PASSED [x](http://evil.test) <img src=x> `c`"
    stale = Review({"gate": [hostile]}, problem=hostile)
    found = dataclasses.replace(FOUND, review=stale, parameters=[Change("k", hostile, 1)], notes=[hostile],
                                judges=[hostile], policy=[PolicyChange("m.min", hostile, None, "looser")])  # fmt: skip
    for text in (markdown(found, None), unreadable(hostile)):
        assert "\n## PASSED" not in text and "<img" not in text and "http://" not in text and "a|b" not in text
        assert "[x](" not in text.replace("\\[x](", "")


def test_a_comment_is_no_longer_than_github_takes_and_says_where_the_rest_is():
    changes = [Change(f"section.key_{index}", "x" * 50, "y" * 50) for index in range(1000)]
    text = markdown(dataclasses.replace(FOUND, parameters=changes), "https://git.test/run")
    assert CUT < 65_536 and len(text) < 65_536
    assert text.endswith("cut here; the whole is review.md, [in the artifacts](https://git.test/run).\n")


def test_a_branch_that_is_behind_is_told_so():
    text = markdown(dataclasses.replace(FOUND, branch=dataclasses.replace(BRANCH, behind=1)), None)
    assert "origin/main has 1 commit more by now" in text
