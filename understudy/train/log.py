"""A training's log: one JSON object a line, appended as it happens, and never a record twice.

Whatever shows or forwards a training (the tracker, a terminal view) follows this file from another process, so that it
can neither slow training down nor stop it. Events: `start`, `step`, `validation`, `image`, `end`.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import atomic, write_text

NAME = "log.jsonl"  # in a training's folder


class Log:
    """Appends to `path`. Opened at a step, it first drops the records that come after it: they come again."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [record for record in read(path) if record["event"] != "end" and record.get("step", 0) <= resumed_at]
        write_records(path, kept if resumed_at else [])

    def write(self, event: str, **values: Any) -> None:
        """Append one record, with the time, and hand it to the operating system before returning."""
        line = json.dumps({"event": event, **values, "time": round(time.time(), 3)}) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error}; free some space and run it again") from error


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log, in order, less lines that are none: the last one, where a kill cut it short."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        if (record := parse(line)) is not None:
            yield record


def parse(line: bytes) -> dict[str, Any] | None:
    """A line's record, or None where a disk fault or a kill left something else."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "event" in record else None


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Make these the whole log, atomically."""
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))


def write_curve(log: Path, event: str, values: str, path: Path, again: Mapping[str, str] | None = None) -> None:
    """What the records of one event hold under `values`, by step, as a CSV table: what `dvc plots` draws.

    again: further columns, by name, that repeat another: `dvc plots` finds no column whose name changes with the data.
    Without times: equal runs give equal files.
    """
    records = [record for record in read(log) if record["event"] == event]
    write_table(path, ((record["step"], record[values]) for record in records), again or {})


def write_table(path: Path, rows: Iterable[tuple[int, Mapping[str, float]]], again: Mapping[str, str]) -> None:
    """Values by step as a CSV table, atomically. again: as for `write_curve`."""
    shown = [{"step": step, **values, **{new: values[old] for new, old in again.items()}} for step, values in rows]
    names = dict.fromkeys(name for row in shown for name in row)
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names or ["step"], lineterminator="\n")
        writer.writeheader()
        for row in shown:
            writer.writerow({name: value if name == "step" else f"{value:.6g}" for name, value in row.items()})


def start_tracker(root: Path, stage: str, log: Path) -> None:
    """Let a separate process deliver the log to MLflow while training runs, where MLflow is installed.

    Set UNDERSTUDY_TRACKING=off to do without. Whatever it could not deliver, `understudy track` delivers later.
    """
    if os.environ.get("UNDERSTUDY_TRACKING") == "off" or importlib.util.find_spec("mlflow") is None:
        return
    command = [sys.executable, "-m", "understudy.adapters.tracking", "--root", str(root), "--stage", stage]
    command += ["--log", str(log), "--follow-pid", str(os.getpid())]
    try:
        with (log.parent / "tracker.txt").open("a") as output:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    except OSError as error:  # no process to be had: what is not delivered now is delivered later
        print(f"{stage}: nothing goes to MLflow meanwhile ({error}); `understudy track` delivers it", file=sys.stderr)
