"""Great Expectations: run suites of its own built-in expectations on tables, and show them as Data Docs.

The only file that knows GX, whose API changes from one minor version to the next. What is expected of which table is
given as plain values; what comes back is plain too, and the same from one run to the next (no times, no run ids).
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.data.expectations import Suite


@dataclass(frozen=True)
class Outcome:
    """How one expectation fared.

    checked: rows looked at, None for an expectation about the table as a whole; observed: that one's value, else None.
    rows: every row that broke it, as column -> value with the suite's identity columns first; unexpected: how many.
    error: why it could not be evaluated, or None. A table without the column that is spoken of is the usual reason.
    """

    suite: str
    name: str
    success: bool
    checked: int | None
    unexpected: int
    observed: Any
    rows: tuple[Mapping[str, Any], ...]
    error: str | None


class Validator:
    """A GX context in memory whose Data Docs are written to a folder, emptied first: it shows this run alone."""

    def __init__(self, docs: Path) -> None:
        """docs: the folder of the Data Docs. The context itself leaves no file."""
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # GX reads it when it is imported
        # Heavy (3 s), hence here: a stage that prints its plan does not wait for it.
        from great_expectations import get_context
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        shutil.rmtree(docs, ignore_errors=True)
        docs.mkdir(parents=True)
        self.index = docs / "index.html"
        site = {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        self._context = get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
                data_docs_sites={"local": site},
                progress_bars=ProgressBarsConfig(globally=False),
                analytics_enabled=False,
            ),
        )

    def run(self, suites: Iterable[Suite]) -> list[Outcome]:
        """Evaluate suites of different names and add them to the Data Docs. Outcomes are in the order of definition."""
        return [outcome for suite in suites for outcome in self._run(suite)]

    def _run(self, suite: Suite) -> list[Outcome]:
        import great_expectations as gx
        from great_expectations.checkpoint import UpdateDataDocsAction
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        asset = self._context.data_sources.add_pandas(suite.name).add_dataframe_asset(suite.name)
        definition = gx.ValidationDefinition(
            name=suite.name,
            data=asset.add_batch_definition_whole_dataframe(suite.name),
            suite=self._context.suites.add(
                gx.ExpectationSuite(
                    name=suite.name,
                    expectations=[
                        ExpectationConfiguration(
                            type=expectation.type, kwargs=dict(expectation.arguments), meta={"name": expectation.name}
                        ).to_domain_obj()
                        for expectation in suite.expectations
                    ],
                )
            ),
        )
        checkpoint = gx.Checkpoint(
            name=suite.name,
            validation_definitions=[self._context.validation_definitions.add(definition)],
            actions=[UpdateDataDocsAction(name="data_docs", site_names=["local"])],
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": list(suite.identity),
                "return_unexpected_index_query": False,
            },
        )
        report = self._context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": _frame(suite)})
        results = [result for run in report.run_results.values() for result in run.results]
        return [
            _outcome(suite, expectation.name, result)
            for expectation, result in zip(suite.expectations, _in_order(suite, results), strict=True)
        ]


def _frame(suite: Suite) -> Any:
    from pandas import DataFrame, Series

    def column(cells: Sequence[Any]) -> Series:
        numbers = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        return Series(list(cells), dtype=None if numbers else object)  # objects: text stays text and None stays None

    return DataFrame({name: column(cells) for name, cells in suite.table.items()})


def _in_order(suite: Suite, results: Sequence[Any]) -> list[Any]:
    """GX's results, which it sorts its own way, in the order of the suite; one for each expectation, or it is a bug.

    An expectation that GX drops, as it does one of a class it does not know, would otherwise pass in silence.
    """
    defined = [expectation.name for expectation in suite.expectations]
    by_name = {result.expectation_config.meta["name"]: result for result in results}
    if len(results) != len(defined) or len(by_name) != len(defined) or set(by_name) != set(defined):
        raise RuntimeError(
            f"{suite.name}: {len(defined)} expectations defined, {len(results)} evaluated; "
            f"differing: {', '.join(sorted(set(defined) ^ set(by_name))) or 'a repeated name'}"
        )
    return [by_name[name] for name in defined]


def _outcome(suite: Suite, name: str, result: Any) -> Outcome:
    values = result.result or {}
    found: Sequence[Mapping[str, Any]] = values.get("unexpected_index_list") or []
    return Outcome(
        suite=suite.name,
        name=name,
        success=bool(result.success),
        checked=_plain(values.get("element_count")),
        unexpected=int(values.get("unexpected_count") or 0),
        observed=_plain(values.get("observed_value")),
        rows=tuple(_row(row, suite.identity) for row in found),
        error=_error(result.exception_info),
    )


def _row(row: Mapping[str, Any], identity: tuple[str, ...]) -> dict[str, Any]:
    """The row with its identity first, so that it reads from left to right, and with Python's own types."""
    others = [column for column in row if column not in identity]
    return {column: _plain(row[column]) for column in (*identity, *others)}


def _plain(value: Any) -> Any:
    """NumPy scalars -> Python's, inside lists too: JSON and people know no np.int64(3)."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _error(information: Mapping[str, Any] | None) -> str | None:
    """The message of a failed evaluation: GX gives it flat, or once for each metric that it tried to compute."""
    if not information:
        return None
    entries = [information] if "raised_exception" in information else list(information.values())
    messages = [str(entry["exception_message"]) for entry in entries if entry.get("raised_exception")]
    return messages[0].splitlines()[0] if messages else None
