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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import atomic, write_text


class Log:
    """Appends to `path`. Opened at a step, it first drops the records that come after it: they come again."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [record for record in read(path) if record["event"] != "end" and record.get("step", 0) <= resumed_at]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept if resumed_at))

    def write(self, event: str, **values: Any) -> None:
        """Append one record, with the time, and hand it to the operating system before returning."""
        line = json.dumps({"event": event, **values, "time": round(time.time(), 3)}) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error}; free some space and run it again") from error


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log, in order; a last line that a kill cut short is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def write_curve(log: Path, event: str, values: str, path: Path) -> None:
    """What the records of one event hold under `values`, by step, as a CSV table: what `dvc plots` draws.

    Without times: equal runs give equal files.
    """
    records = [record for record in read(log) if record["event"] == event]
    names = list(dict.fromkeys(name for record in records for name in record[values]))
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["step", *names], lineterminator="\n")
        writer.writeheader()
        for record in records:
            writer.writerow({"step": record["step"], **{k: f"{v:.6g}" for k, v in record[values].items()}})


def start_tracker(root: Path, stage: str, log: Path) -> None:
    """Let a separate process deliver the log to MLflow while training runs, where MLflow is installed.

    Set UNDERSTUDY_TRACKING=off to do without. Whatever it could not deliver, `understudy track` delivers later.
    """
    if os.environ.get("UNDERSTUDY_TRACKING") == "off" or importlib.util.find_spec("mlflow") is None:
        return
    command = [sys.executable, "-m", "understudy.adapters.tracking", "--root", str(root), "--stage", stage]
    with (log.parent / "tracker.txt").open("a") as output:
        subprocess.Popen([*command, "--log", str(log), "--follow-pid", str(os.getpid())],
                         stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # fmt: skip
