"""What each stage under a root is doing: read from its lock, its newest log and the status that its last run left.

Nothing is written, and a log is read only from where the last look ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from understudy import locks
from understudy.errors import OK, UserError
from understudy.files import read_json
from understudy.graph import STAGES, STOPPED
from understudy.tail import Record, Tail
from understudy.train.log import NAME

State = Literal["running", "finished", "failed", "stopped", "not started"]


@dataclass(frozen=True)
class Validation:
    """The scores of one validation, and the step at which it was."""

    step: int
    metrics: Mapping[str, float]


@dataclass
class Training:
    """What a log has told so far. time: of its last record, in seconds since the epoch. picture: below `folder`."""

    folder: Path
    steps: int = 0
    batch_size: int = 0
    step: int = 0
    rate: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    validations: list[Validation] = field(default_factory=list)
    picture: str | None = None
    time: float = 0.0
    ended: bool = False


@dataclass(frozen=True)
class Stage:
    """pid: of a running stage. reason: why one failed or stopped. training: None if its last run has logged nothing."""

    name: str
    state: State
    pid: int | None = None
    reason: str = ""
    training: Training | None = None


def after(training: Training, records: Iterable[Record]) -> Training:
    """The training with what more records tell. A `start` begins it anew: the log was replaced or is read again."""
    for record in records:
        event, step = record["event"], record.get("step", 0)
        if event == "start":
            batch_size = _batch_size(record.get("params", {}))
            training = Training(training.folder, steps=record.get("steps", 0), batch_size=batch_size)
        elif event == "step":
            training.step, training.rate = step, record.get("rate", 0.0)
            training.losses = record.get("losses", {})
        elif event == "validation":
            training.validations.append(Validation(step, record.get("metrics", {})))
        elif event == "image":
            training.picture = record.get("path")
        elif event == "end":
            training.ended = True
        training.time = record.get("time", training.time)
    return training


def _batch_size(params: Mapping[str, Any]) -> int:
    """Wherever the stage's parameters have it: in its own section (the judge's) or in the schedule of one; or 0."""
    for section in params.values():
        for values in (section, section.get("schedule", {})):
            if "batch_size" in values:
                return values["batch_size"]
    return 0


@dataclass
class _Followed:
    tail: Tail
    training: Training


class Watcher:
    """Looks at a root again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._followed: dict[str, _Followed] = {}

    def look(self) -> list[Stage]:
        """Every stage, in the order of the graph. Raises UserError, with what to do, when none has ever run here."""
        stages = [self._stage(name) for name in STAGES]
        if all(stage.state == "not started" for stage in stages):
            raise UserError(_nothing(self.root))
        return stages

    def _stage(self, name: str) -> Stage:
        scratch = self.root / ".understudy"
        lock, status = scratch / name / "lock", scratch / "status" / f"{name}.json"
        log = max((scratch / name).glob(f"*/{NAME}"), key=_modified, default=None)
        # A lock names its holder when it is taken, so that its time is when the last run began.
        begun, logged = _modified(lock), _modified(log) if log else 0.0
        # A log that the last run has not touched is another training's, of other parameters.
        training = self._training(name, log) if log and logged >= begun else None
        pid = locks.holder(lock)
        if pid is not None:
            return Stage(name, "running", pid, training=training)
        if max(begun, logged, _modified(status)) == 0:
            return Stage(name, "not started")
        if _modified(status) >= max(begun, logged) and (left := _status(status)):
            code, reason = left
            if code == OK:
                return Stage(name, "finished", training=training)
            state: State = "stopped" if code in STOPPED else "failed"
            return Stage(name, state, reason=reason, training=training)
        if training is not None and training.ended:
            return Stage(name, "finished", training=training)
        return Stage(name, "stopped", reason="killed before it could say why; run it again", training=training)

    def _training(self, name: str, log: Path) -> Training:
        followed = self._followed.get(name)
        if followed is None or followed.tail.path != log:
            followed = self._followed[name] = _Followed(Tail(log), Training(log.parent))
        followed.training = after(followed.training, followed.tail.read())
        return followed.training


def _modified(path: Path) -> float:
    """When a file was last written, or 0 where there is none (any more)."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _status(path: Path) -> tuple[int, str] | None:
    """Exit code and reason of a stage's last run, or None when they cannot be read."""
    try:
        status = read_json(path)
        return int(status["code"]), str(status["reason"])
    except (UserError, KeyError, TypeError, ValueError):
        return None


def _nothing(root: Path) -> str:
    message = f"{root / '.understudy'}: nothing has been trained here yet; `understudy run` or `dvc repro` does"
    # Roots of their own, made by benchmarks/seeds.py.
    if below := sorted(path.parent for path in root.glob(".understudy/seeds/*/*/.understudy")):
        message += f"; or watch one of {', '.join(map(str, below))} with --root"
    return message
