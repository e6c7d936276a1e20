"""check: Great Expectations on the manifest, before anything trains on the data.

Makes    artifacts/check/result.json, which training depends on: written only when every expectation is met
Reads    artifacts/prepare/{manifest.csv,dataset.json}; params check
Takes    8 s on two CPU cores, most of them to import Great Expectations
Run      dvc repro check, or python -m stages.check [--params FILE] [--root DIR] [--dry-run]
A failure ends with code 4, names the rows that broke an expectation, and leaves no result: nothing downstream runs.
Data Docs, passed or failed: .understudy/check/data_docs/index.html. Times are in there, so they are no output of DVC.
"""

from pathlib import Path

from understudy.adapters.gx import Outcome, Validator
from understudy.data.checked import RESULT, mark
from understudy.data.expectations import rounds
from understudy.data.manifest import read_manifest
from understudy.data.prepared import load_info
from understudy.errors import DATA_FAILED, UserError
from understudy.files import write_json
from understudy.params.check import Check
from understudy.stage import Job, Plan, main

READS = (Check,)
SCHEMA = 2
SHOWN = 20  # rows printed for one expectation; all of them are counted


def plan(job: Job) -> Plan:
    info = load_info(job.input("prepare/dataset.json"))
    images = {f"images.{split}": info.count_text(split) for split in info.counts}
    return {**images, "expected time": "about 10 s, most of it to import Great Expectations"}


def run(job: Job) -> None:
    result = job.output(RESULT)
    result.unlink(missing_ok=True)  # of an earlier run without DVC: a failure must not leave it behind
    info = load_info(job.input("prepare/dataset.json"))
    manifest = read_manifest(job.input("prepare/manifest.csv"))
    validator = Validator(job.scratch / "data_docs")
    outcomes: list[Outcome] = []
    for suites in rounds(manifest, info, job.params(Check)):
        outcomes += validator.run(suites)
        if failed := [outcome for outcome in outcomes if not outcome.success]:
            raise UserError(_complaint(failed, len(outcomes), validator.index), DATA_FAILED)
    write_json(result, {
        "schema": SCHEMA,
        "data": mark(job),
        "expectations": len(outcomes),
        "results": [{"suite": o.suite, "name": o.name, "success": o.success, "checked": o.checked,
                     "unexpected": o.unexpected, "observed": o.observed} for o in outcomes],
    })  # fmt: skip
    print(f"check: {len(outcomes)} expectations met by {len(manifest['name'])} rows; Data Docs: {validator.index}")


def _complaint(failed: list[Outcome], evaluated: int, docs: Path) -> str:
    """What broke, row by row, and where to look next."""
    lines = [f"{len(failed)} of {evaluated} expectations failed"]
    for outcome in failed:
        count = f"{outcome.unexpected} of {outcome.checked} rows" if outcome.checked else f"found {outcome.observed}"
        lines.append(f"  {outcome.suite}.{outcome.name}: {outcome.error or count}")
        for row in outcome.rows[:SHOWN]:
            lines.append("    " + "  ".join(f"{column}={value}" for column, value in row.items()))
        if len(outcome.rows) > SHOWN:
            lines.append(f"    and {len(outcome.rows) - SHOWN} more")
    lines.append(f"Data Docs: {docs}")
    lines.append("Mend the source and run `dvc repro prepare`, or change the bounds in section `check` of params.yaml.")
    return "\n".join(lines)


if __name__ == "__main__":
    main("check", READS, plan, run)
