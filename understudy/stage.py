"""What every stage shares: its command line, its plan, its exit code and the reason it leaves when it fails.

A stage module gives its name, the parameter sections it reads, `plan` (what it would do, as plain values) and `run`.
DVC hides a stage's exit code behind its own, so a failure is also written to `.understudy/status/STAGE.json`, outside
DVC's outputs, where commands and flows read it.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from understudy.errors import INTERRUPTED, OK, UNEXPECTED, UserError
from understudy.files import write_json
from understudy.params.loader import load, section_name

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


def main(
    stage: str,
    sections: tuple[type, ...],
    plan: Callable[[Job], Plan],
    run: Callable[[Job], None],
    argv: list[str] | None = None,
) -> None:
    """Run `python -m stages.STAGE [--params FILE] [--root DIR] [--dry-run]`, and exit with a code of errors.py."""
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=sys.modules["__main__"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="parameter file (default: %(default)s)"
    )
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    arguments = parser.parse_args(argv)
    status = arguments.root / ".understudy" / "status" / f"{stage}.json"
    code, reason = OK, "done"
    try:
        job = Job(stage, arguments.root, load(arguments.params, sections))
        _print_plan(job, plan(job))
        if arguments.dry_run:
            sys.exit(OK)
        run(job)
    except UserError as error:
        code, reason = error.code, str(error)
        print(f"{stage}: {reason}", file=sys.stderr)
    except KeyboardInterrupt:  # training stages save their state first, and say so themselves
        code, reason = INTERRUPTED, "interrupted; run it again"
        print(f"{stage}: {reason}", file=sys.stderr)
    except Exception as error:
        traceback.print_exc()
        code, reason = UNEXPECTED, f"{type(error).__name__}: {error}"
    if not arguments.dry_run:
        write_json(status, {"stage": stage, "code": code, "reason": reason})
    sys.exit(code)


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
