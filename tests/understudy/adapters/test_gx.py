"""The adapter with Great Expectations itself: its import alone takes seconds, hence slow."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from understudy.adapters.gx import Outcome, Validator, _in_order
from understudy.data.expectations import Expectation, Suite

pytestmark = pytest.mark.slow

TABLE = {"split": ["train", "train", "val"], "name": ["a", "b", "a"], "value": [0.25, 1.5, np.nan]}
IN_RANGE = Expectation(
    "in_range", "expect_column_values_to_be_between", {"column": "value", "min_value": 0, "max_value": 1}
)
ROW_COUNT = Expectation("row_count", "expect_table_row_count_to_equal", {"value": 3})
ABSENT = Expectation("absent", "expect_column_values_to_not_be_null", {"column": "nowhere"})


def suite(*expectations: Expectation, name: str = "table") -> Suite:
    return Suite(name, TABLE, ("split", "name"), expectations)


def test_outcomes_are_plain_and_in_the_order_of_definition(tmp_path):
    outcomes = Validator(tmp_path / "docs").run([suite(ABSENT, IN_RANGE, ROW_COUNT)])
    absent, in_range, row_count = outcomes
    assert (absent.name, absent.success) == ("absent", False)
    assert "nowhere" in absent.error
    assert in_range == Outcome(
        suite="table", name="in_range", success=False, checked=3, unexpected=1, observed=None,
        rows=({"split": "train", "name": "b", "value": 1.5},), error=None,
    )  # fmt: skip
    assert type(in_range.rows[0]["value"]) is float
    assert row_count == Outcome("table", "row_count", True, None, 0, 3, (), None)


def test_data_docs_show_this_run_alone(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "stale.html").touch()
    validator = Validator(docs)
    validator.run([suite(IN_RANGE, name="first"), suite(ROW_COUNT, name="second")])
    assert validator.index.read_text().count("<!DOCTYPE html>") == 1
    assert not (docs / "stale.html").exists()
    assert {page.stem for page in (docs / "expectations").rglob("*.html")} == {"first", "second"}
    assert len(list((docs / "validations").rglob("*.html"))) == 2


@pytest.mark.parametrize(
    ("evaluated", "differing"),
    [(["in_range"], "row_count"), (["in_range", "row_count", "absent"], "absent"), (["in_range"] * 2, "row_count")],
)
def test_an_expectation_that_was_not_evaluated_is_a_bug(evaluated, differing):
    results = [SimpleNamespace(expectation_config=SimpleNamespace(meta={"name": name})) for name in evaluated]
    message = f"2 expectations defined, {len(evaluated)} evaluated; differing: {differing}"
    with pytest.raises(RuntimeError, match=message):
        _in_order(suite(IN_RANGE, ROW_COUNT), results)


def test_repeated_names_are_a_bug(tmp_path):
    other = Expectation(IN_RANGE.name, ROW_COUNT.type, ROW_COUNT.arguments)
    with pytest.raises(RuntimeError, match="a repeated name"):
        Validator(tmp_path / "docs").run([suite(IN_RANGE, other)])


def test_an_unknown_expectation_is_not_passed_over(tmp_path):
    with pytest.raises(Exception, match="expect_the_unexpected"):
        Validator(tmp_path / "docs").run([suite(IN_RANGE, Expectation("new", "expect_the_unexpected", {}))])


def test_telemetry_is_off_and_nothing_is_left_outside_the_docs(tmp_path, monkeypatch):
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    monkeypatch.chdir(tmp_path)
    validator = Validator(tmp_path / "docs")
    validator.run([suite(ROW_COUNT)])
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
    assert validator._context.config.analytics_enabled is False
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
