"""The student's exported files beside the student: quality, parity, size, latency and verdict, as a table."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from understudy.export.record import LATENCY, RECORD, read_record
from understudy.files import sha256
from understudy.gate import EVALUATION
from understudy.metrics.protocol import scored
from understudy.report.gather import Run, part
from understudy.report.tables import Table, estimate, label, reading, scale
from understudy.verdict import PATH, Verdict

TITLE = "Exported files: image in, photo out"


def exports(run: Run) -> Table | None:
    """The table; None where nothing was exported. Raises UserError for files that are not those that were measured."""
    record = read_record(run.root, sha256(run.path(EVALUATION)))
    if not record or not record["models"]:
        return None
    timed = part(lambda: run.json(LATENCY), LATENCY).content
    return exports_table(run.evaluation, record, timed, part(run.verdict, PATH).content)


def exports_or_reason(run: Run) -> list[Table]:
    """The table in a list, empty where nothing was exported; of exports that cannot be shown, the reason as a note."""
    found = part(lambda: exports(run), RECORD)
    if found.absent:
        return [Table(TITLE, ("",), (), (found.absent,))]
    return [found.content] if found.content else []


def exports_table(
    evaluation: Mapping[str, Any], record: Mapping[str, Any], latency: Mapping[str, Any] | None, verdict: Verdict | None
) -> Table:
    """record: the content of artifacts/export/export.json, which tells of one file or more.

    latency: that of .understudy/export/latency.json, left out when it is of other files, as is what the verdict says.
    Raises KeyError, TypeError or AttributeError when they are something else.
    """
    exported, files = record["models"], record["files"]
    models = {"student": evaluation["models"]["student"], **exported}
    rows: list[tuple[str, ...]] = []
    for name in (found.name for found in scored(chain.from_iterable(exported.values()))):
        shown = f"{label(name)} x {scale(name)}" if scale(name) > 1 else label(name)
        rows.append((shown, *(estimate(metrics.get(name), scale(name)) for metrics in models.values())))
        apart = (record["differences"][f"{kind}_minus_student"].get(name) for kind in exported)
        rows.append((f"{shown}, less the student's", "", *(reading(name, difference) for difference in apart)))
    for what, key in (("most", "most"), ("on average", "mean")):
        levels = (f"{record['parity'][kind][key]:.4g}" for kind in exported)
        rows.append((f"levels of 255 from the student, {what}", "", *levels))
    rows.append(("file (MB)", *(f"{metrics['file_mb']['value']:.4g}" for metrics in models.values())))
    notes = []
    if latency and latency.get("files") == files:
        rows.append(("median latency (ms)", *(f"{latency['models'][name]['median_ms']:.4g}" for name in models)))
        notes.append(f"latency: from an input to its photo, on this machine's CPU, {latency['threads']} threads")
    if share := record["int8"]:
        notes.append(f"int8: {share['convolutions']} of {share['total']} convolutions, {share['macs']:.0%} of the MACs")
    judged = verdict.exports if verdict else {}
    if verdict and all(kind in judged and judged[kind].sha256 == files[judged[kind].file] for kind in exported):
        outcomes = (verdict.passed, *(judged[kind].passed for kind in exported))
        rows.append(("verdict", *("passed" if passed else "failed" for passed in outcomes)))
        notes += [f"{kind}: {failure}" for kind in exported for failure in judged[kind].failures()]
    return Table(TITLE, ("", *models), tuple(rows), tuple(notes))
