"""Delivers training logs to MLflow from a process of its own: live beside a stage, or later; each record exactly once.

`python -m understudy.adapters.tracking --root ROOT --stage STAGE --log PATH [--follow-pid PID]`

One run per training, found again by its fingerprint. What has been delivered is asked of the store itself: there is no
note beside the log that a kill could leave behind the truth, and a record is known by its event and step, so that steps
which a resumed training logs again are not doubled. A store that is down costs patience, never the training.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.adapters.mlflow import Store, connect
from understudy.errors import OK, UserError
from understudy.lineage import dependencies, lineage
from understudy.locks import held
from understudy.params.leaves import leaves
from understudy.tail import Record, Tail
from understudy.train.log import NAME

POLL_SECONDS = 2.0  # between two looks at a log that is being written
# Between attempts at a store that is down; the last one repeats while the training lives.
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
BATCH = 1000  # metrics in one call, MLflow's limit
PARAMS = 100  # parameters in one call, MLflow's limit
FINGERPRINT = "understudy.fingerprint"
LOCK = "tracker.lock"  # beside a log: whoever holds it alone delivers it


@dataclass
class Run:
    """One training's run in the store, and what the store already has of it."""

    store: Store
    id: str
    metrics: set[tuple[str, int]]  # (name, step)
    images: set[str]
    folder: Path
    status: str

    def deliver(self, records: list[Record]) -> None:
        """Send what the store does not have. Raises what MLflow raises; then nothing is taken as sent that was not."""
        client = self.store.client
        fresh: dict[tuple[str, int], Any] = {}
        for record in records:
            for name, value in _metrics(record).items():
                if (key := (name, record.get("step", 0))) not in self.metrics:
                    fresh.setdefault(key, _metric(name, value, record))
        for keys in _parts(list(fresh), BATCH):
            client.log_batch(self.id, metrics=[fresh[key] for key in keys])
            self.metrics.update(keys)
        for record in records:
            if record["event"] == "image" and record["path"] not in self.images:
                # A grid that `understudy clean` took away is lost, and no reason to hold back what follows.
                if (picture := self.folder / record["path"]).exists():
                    client.log_artifact(self.id, str(picture), str(Path(record["path"]).parent))
                self.images.add(record["path"])

    def set_status(self, status: str, time: float) -> None:
        """RUNNING, FINISHED, or KILLED for a training that was stopped and may be taken up again.

        time: of its last record, which is when it ended, however late that is delivered.
        """
        if status == self.status:
            return
        if status == "RUNNING":
            self.store.client.update_run(self.id, status)
        else:
            self.store.client.set_terminated(self.id, status, int(time * 1000))
        self.status = status


def _metrics(record: Record) -> dict[str, float]:
    """What a record says, under the names that MLflow gets."""
    if record["event"] == "step":
        return {
            **{f"loss/{name}": value for name, value in record["losses"].items()},
            "images_per_second": record["rate"],
        }
    if record["event"] == "validation":
        return dict(record["metrics"])
    if record["event"] == "end":
        return {f"best/{name}": value for name, value in record["metrics"].items()}
    return {}


def _metric(name: str, value: float, record: Record) -> Any:
    from mlflow.entities import Metric

    return Metric(name, float(value), int(record["time"] * 1000), record.get("step", 0))


def find(store: Store, start: Record) -> Any:
    """The run (mlflow.entities.Run) of the training that began with this record, or None."""
    wanted = f"tags.`{FINGERPRINT}` = '{start['fingerprint']}' and tags.dvc_stage = '{start['stage']}'"
    return next(iter(store.client.search_runs([store.experiment], wanted, max_results=1)), None)


def open_run(store: Store, root: Path, start: Record, folder: Path) -> Run:
    """The run of this training, made if the store has none: parameters and tags once, then only what follows."""
    from mlflow.entities import Param

    client, stage, fingerprint = store.client, start["stage"], start["fingerprint"]
    run = find(store, start)
    if run is None:
        tags = {FINGERPRINT: fingerprint, "dvc_stage": stage, "steps": str(start["steps"]), **lineage(root)}
        tags |= {f"dvc_dep.{path}": digest for path, digest in dependencies(root, stage).items()}
        run = client.create_run(store.experiment, int(start["time"] * 1000), tags, f"{stage} {fingerprint[:8]}")
    params = [Param(key, str(value)) for key, value in leaves(start["params"]).items() if key not in run.data.params]
    for part in _parts(params, PARAMS):
        client.log_batch(run.info.run_id, params=part)
    metrics = {
        (name, entry.step) for name in run.data.metrics for entry in client.get_metric_history(run.info.run_id, name)
    }
    # One of another size was cut short on its way, and is sent again.
    images = {
        entry.path
        for entry in client.list_artifacts(run.info.run_id, "samples")
        if not (picture := folder / entry.path).exists() or entry.file_size == picture.stat().st_size
    }
    return Run(store, run.info.run_id, metrics, images, folder, run.info.status)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def follow(root: Path, log: Path, alive: Callable[[], bool]) -> bool:
    """Deliver a log until its training has ended or is no longer alive. Returns whether everything was delivered.

    A store that fails is asked again, for as long as the training lives and a little longer. Whatever goes wrong, it
    goes wrong here and not in the training.
    """
    tail, pending, failures, last = Tail(log), list[Record](), 0, 0.0
    start: Record | None = None
    run: Run | None = None
    live = ended = False
    while True:
        # Asked before reading, so that a stage's last words are not missed.
        was_live, live = live, alive() and not ended
        if was_live and not live:
            failures = 0  # however long the store has been away: the end has a patience of its own
        for record in tail.read():
            start = record if record["event"] == "start" else start
            ended = ended or record["event"] == "end"
            last = record.get("time", last)
            pending.append(record)
        try:
            if start is not None:
                run = run or open_run(connect(root), root, start, log.parent)
                run.deliver(pending)
                pending.clear()
                run.set_status("FINISHED" if ended else "RUNNING" if live else "KILLED", last)
                failures = 0
        except Exception as error:
            run = None  # what arrived is unknown: ask the store again
            failures += 1
            print(f"tracking: attempt {failures}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            if not live and failures > len(BACKOFF_SECONDS):
                print(f"tracking: {log}: gave up; `understudy track` delivers the rest later", file=sys.stderr)
                return False
            time.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1])
            continue
        if ended or not live:
            return True
        time.sleep(POLL_SECONDS)


def deliver(root: Path) -> None:
    """Deliver what is pending of every training under `root`, those aside that a follower is busy with.

    Raises UserError when the store stays out of reach; what is pending stays so.
    """
    for log in sorted((root / ".understudy").glob(f"*/*/{NAME}")):
        training = f"{log.parent.parent.name} {log.parent.name[:8]}"
        with held(log.with_name(LOCK), wait=0) as alone:
            if not alone:
                print(f"{training}: is being followed", flush=True)
            elif follow(root, log, alive=lambda: False):
                print(f"{training}: delivered", flush=True)
            else:
                raise UserError(f"{training}: the tracking store cannot be reached (see above); run it again later")


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and that nobody has buried (a container without an init) does not."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(argv: list[str] | None = None) -> int:
    """Follow one stage's log."""
    parser = argparse.ArgumentParser(
        prog="python -m understudy.adapters.tracking", description="Deliver a log to MLflow."
    )
    parser.add_argument("--root", type=Path, required=True, help="folder that holds artifacts/")
    parser.add_argument("--stage", required=True, help="whose log it is")
    parser.add_argument("--log", type=Path, required=True, help="the stage's log.jsonl")
    parser.add_argument("--follow-pid", type=int, help="go on until this process is gone or the log has ended")
    arguments = parser.parse_args(argv)
    pid = arguments.follow_pid
    with held(arguments.log.with_name(LOCK)):
        done = follow(arguments.root, arguments.log, alive=lambda: pid is not None and _is_alive(pid))
    print(f"tracking: {arguments.stage}: {'delivered' if done else 'not delivered'}", flush=True)
    return OK


if __name__ == "__main__":
    os.nice(10)  # training comes first
    sys.exit(main())
