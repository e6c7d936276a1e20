"""What every stage shares: its command line, its plan, its exit code and the reason it leaves when it fails.

A stage module gives its name, the parameter sections it reads, `plan` (what it would do, as plain values) and `run`.
DVC hides a stage's exit code behind its own, so a failure is also written to `.understudy/status/STAGE.json`, outside
DVC's outputs, where commands and flows read it.
"""

import argparse
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from understudy import hosts, locks, processes
from understudy.errors import BAD_INPUT, INTERRUPTED, LOST, OK, OUT_OF_MEMORY, PREEMPTED, UNEXPECTED, UserError
from understudy.files import remove_leftovers, write_json
from understudy.memory import ran_out, wording
from understudy.orphans import Unread, end_with_parent
from understudy.params.loader import load, section_name

PATIENCE = 60.0  # seconds that a stage waits for another run of it: one that was stopped needs some to save its state
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What a disk or a folder answers that the user has to mend; any other OSError is a bug.
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)

Section = TypeVar("Section")
Plan = Mapping[str, Any]


@dataclass(frozen=True, eq=False)  # a job is itself and no other: what is made for it can be kept by it
class Job:
    """One run of one stage: where its files are, and its parameters.

    root: the folder that holds `artifacts/` (outputs, DVC's) and `.understudy/` (scratch, status, logs: never hashed).
    """

    stage: str
    root: Path
    sections: Mapping[type, Any]

    def params(self, section: type[Section]) -> Section:
        """The parameters of one section that the stage declared."""
        return self.sections[section]

    def input(self, name: str) -> Path:
        """`artifacts/NAME`, which another stage made. Raises UserError, naming that stage, when it is missing."""
        path = self.output(name)
        if not path.exists():
            maker = Path(name).parts[0]
            raise UserError(f"{path}: missing; `dvc repro {maker}` (or `python -m stages.{maker}`) makes it")
        return path

    def output(self, name: str) -> Path:
        """`artifacts/NAME`, which this stage makes."""
        return self.root / "artifacts" / name

    @property
    def scratch(self) -> Path:
        """The stage's folder for checkpoints and logs: outside DVC's outputs, which DVC deletes before each run."""
        return self.root / ".understudy" / self.stage


def one_process(_: Job) -> int | None:
    """Of stages whose work is not shared."""
    return 1


def main(
    stage: str,
    sections: tuple[type, ...],
    plan: Callable[[Job], Plan],
    run: Callable[[Job], None],
    argv: list[str] | None = None,
    shared_by: Callable[[Job], int | None] = one_process,
) -> None:
    """Run `python -m stages.STAGE [--params FILE] [--root DIR] [--dry-run]`, and exit with a code of errors.py.

    shared_by: how many processes do the work, on all hosts; None: as many as are started, of which each host has at
    least one. Of several, `plan` and `run` are called in each, and the first one alone holds the lock, prints and
    leaves a status.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=sys.modules["__main__"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--params", type=Path, help="parameter file (default: params.yaml in DIR)", metavar="FILE")
    parser.add_argument("--root", type=Path, default=Path(), metavar="DIR",
                        help="folder that holds artifacts/ (default: this one)")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    arguments = parser.parse_args(argv)
    if (starter := processes.starter()) is not None:
        end_with_parent(starter)
    elif "DVC_STAGE" in os.environ:  # set by DVC for what it runs; one that was started by hand may outlive its shell
        end_with_parent()
    leads = processes.leads()
    if not leads:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - to the end
    scratch = arguments.root / ".understudy"
    status, lock = scratch / "status" / f"{stage}.json", scratch / stage / "lock"
    sys.stdout, sys.stderr = Unread(sys.stdout), Unread(sys.stderr)  # type: ignore[assignment]
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup wants the closed terminal ignored
            signal.signal(number, _stop)
    with ExitStack() as until_the_end:  # the lock is let go of once the status is written

        def work() -> None:
            job = Job(stage, arguments.root, load(arguments.params or arguments.root / "params.yaml", sections))
            if count := _processes_to_start(job, shared_by(job)):
                sys.exit(processes.start(count, stage, job.scratch))
            writes = leads and not arguments.dry_run
            if writes:
                until_the_end.enter_context(_sole_writer(job, lock))
            _print_plan(job, plan(job))
            if not arguments.dry_run:
                with _all_or_nothing(job) if writes else nullcontext():
                    run(job)

        try:
            code, reason = _outcome(work)
            _ignore_signals()
        except _Stopped as stopped:  # while an outcome was on its way here
            code, reason = stopped.code, str(stopped)
        # One that was only left behind by another has nothing to say: that one has, or whoever started both.
        silent = code == LOST and (starter is not None or not leads)
        if code and not silent:
            print(f"{stage}: {reason}", file=sys.stderr)
        # One that was kept out does not write over the status of the one that works.
        if leads and not silent and not arguments.dry_run and locks.holder(lock) in (None, os.getpid()):
            try:
                write_json(status, {"stage": stage, "code": code, "reason": reason})
            except UserError as error:  # of the disk that failed the stage; the exit code still tells
                print(f"{stage}: {error}", file=sys.stderr)
                code = code or error.code
    sys.exit(code)


def _processes_to_start(job: Job, wanted: int | None) -> int:
    """How many on each host; 0 when this process does the work, alone or as one of those that were started."""
    started = processes.size()
    if started > 1:
        if wanted not in (None, started):
            raise UserError(f"{job.stage}: {started} processes were started, and by its parameters it runs in {wanted}")
        return 0
    here = hosts.place()
    if here.index:
        raise UserError(
            f"NODE_RANK: {here.index}: a stage is run on the first host alone, and on this one `understudy follow`"
        )
    wanted = here.count if wanted is None else wanted
    if wanted == 1:
        return 0
    if wanted % here.count:
        raise UserError(
            f"schedule.processes: {job.stage}'s {wanted} cannot be shared equally by {here.count} hosts (NNODES); set "
            f"it to a multiple of {here.count}, or to 1 for the first host alone"
        )
    return wanted // here.count


def _outcome(work: Callable[[], None]) -> tuple[int, str]:
    """Do the work; the exit code, and the reason for it. A bug's traceback is printed."""
    try:
        work()
    except UserError as error:
        return error.code, str(error)
    except _Stopped as stopped:  # training stages save their state first, and say so themselves
        return stopped.code, str(stopped)
    except Exception as error:
        if ran_out(error):
            return (
                OUT_OF_MEMORY,
                f"out of memory ({wording(error)}); set smaller images (prepare.size), or give it more",
            )
        if isinstance(error, OSError) and error.errno in REFUSALS and error.filename:
            return BAD_INPUT, f"{error}; free some space or mend the permissions, and run it again"
        traceback.print_exc()
        return UNEXPECTED, f"{type(error).__name__}: {error}"
    return OK, "done"


class _Stopped(BaseException):
    """A signal to end, on its way out through every `finally` that removes a half-written file."""

    def __init__(self, number: int) -> None:
        self.code = INTERRUPTED if number == signal.SIGINT else PREEMPTED
        how = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        super().__init__(f"{how}; run it again")


def _stop(number: int, _: FrameType | None) -> None:
    _ignore_signals()  # a second one, of the group or of the parent's death, must not end the tidying up
    raise _Stopped(number)


def _ignore_signals() -> None:
    for number in STOPPING:
        signal.signal(number, lambda *_: None)  # SIG_IGN has Python complain of one that is on its way


@contextmanager
def _sole_writer(job: Job, path: Path) -> Iterator[None]:
    """Keep every other run of this stage in this root out, and tidy what one that was killed left half-written.

    path: of the stage's lock.
    """
    if (other := locks.holder(path)) is not None:
        print(f"{job.stage}: process {other} still works here; waiting {PATIENCE:.0f} s for its end", flush=True)
    with locks.held(path, PATIENCE) as mine:
        if not mine:
            raise UserError(
                f"{path}: held by process {locks.holder(path)}, another run of {job.stage} in this folder;"
                " wait for it or stop it, and run this again", PREEMPTED)  # fmt: skip
        for folder in (job.scratch, job.output(job.stage)):
            remove_leftovers(folder)
        yield


@contextmanager
def _all_or_nothing(job: Job) -> Iterator[None]:
    """When the block fails, remove what it wrote of the stage's outputs: some without the rest would pass for a result.

    What an earlier run left and this one did not touch stays.
    """

    def written() -> dict[Path, int]:
        found = job.output(job.stage).glob("[!.]*")  # DVC's .gitignore is none
        return {path: path.stat().st_mtime_ns for path in found if path.is_file()}

    before = written()
    try:
        yield
    except BaseException:
        for path, time in written().items():
            if before.get(path) != time:
                path.unlink()
        raise


def _print_plan(job: Job, plan: Plan) -> None:
    """The resolved parameters and the stage's own plan, one `key: value` a line."""
    print(f"{job.stage}: plan")
    for section, values in job.sections.items():
        for key, value in _flat(section_name(section), asdict(values)):
            print(f"  {key}: {value}")
    for key, value in plan.items():
        print(f"  {key}: {value}")
    sys.stdout.flush()


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, entry in value.items() for pair in _flat(f"{prefix}.{key}", entry)]
    return [(prefix, list(value) if isinstance(value, tuple) else value)]
