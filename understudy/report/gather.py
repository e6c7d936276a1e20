"""What is left of a run, file by file: what is missing or damaged becomes a sentence, never the end of a report."""

import csv
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from understudy.errors import UserError
from understudy.files import read_json, sha256
from understudy.gate import EVALUATION
from understudy.graph import LATENCY, STATUS, STOPPED
from understudy.verdict import PATH, Verdict, read_verdict

CHECKED = "artifacts/check/result.json"
GRAPH = "dvc.yaml"
# What a file of another shape than its stage writes makes a reader trip over.
MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)


@dataclass(frozen=True)
class Part:
    """A part of the page. content: what it shows, or None, and then `absent` says in a sentence why, and what to do."""

    content: Any = None
    absent: str = ""


@dataclass(frozen=True)
class Failure:
    """A stage that did not end well: its exit code and the reason that it left."""

    stage: str
    code: int
    reason: str

    @property
    def stopped(self) -> bool:
        """Whether it was only stopped from outside, and goes on when it is run again."""
        return self.code in STOPPED


def part(make: Callable[[], Any], source: str, *more: str) -> Part:
    """The part that `make` builds out of files (named as under the root), or what kept it from doing so."""
    try:
        return Part(make())
    except UserError as error:
        return Part(absent=f"{error}.")
    except MISSHAPEN as error:
        sources = (source, *more)
        stages = list(dict.fromkeys(filter(None, map(maker, sources))))
        said = f"{', '.join(sources)}: not what {', '.join(stages) or 'this version'} writes ({error!r})"
        return Part(absent=f"{said}; `dvc repro -sf {' '.join(stages)}` makes it again." if stages else f"{said}.")


def maker(name: str) -> str:
    """The stage that makes a file of the run, or nothing for one that no stage makes."""
    folder, _, rest = name.partition("/")
    return rest.partition("/")[0] if folder in ("artifacts", ".understudy") else ""


class Run:
    """The files of one run, under `root`. Every method raises UserError that names the file and what makes it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """ROOT/`name`, which must be there."""
        path = self.root / name
        if not path.is_file():
            stage = maker(name)
            raise UserError(f"{name} is not there" + (f"; `dvc repro {stage}` makes it" if stage else ""))
        return path

    def json(self, name: str) -> Any:
        return read_json(self.path(name))

    @functools.cached_property
    def evaluation(self) -> Mapping[str, Any]:
        """evaluation.json, a mapping with `models` and `files` that are mappings."""
        found = self.json(EVALUATION)
        if not (isinstance(found, dict) and all(isinstance(found.get(key), dict) for key in ("models", "files"))):
            raise UserError(f"{EVALUATION} is not what evaluate writes; `dvc repro -sf evaluate` makes it again")
        return found

    def verdict(self) -> Verdict:
        self.path(PATH)
        return read_verdict(self.root / PATH)

    def latency(self) -> Mapping[str, Any] | None:
        """Latencies measured on this machine, None where nothing was timed or the file is damaged."""
        try:
            found = self.json(LATENCY)
        except UserError:
            return None
        return found if isinstance(found, dict) else None

    def table(self, name: str) -> dict[str, list[tuple[float, float]]]:
        """A CSV file of numbers whose first column is `step`: (step, value) by column name, blank cells left out."""
        path = self.path(name)
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                header, *rows = csv.reader(stream)
            if header[0] != "step" or any(len(row) != len(header) for row in rows):
                raise ValueError("not a table by step")
            if not rows:
                raise ValueError("no row")
            return {
                column: [(float(row[0]), float(row[index])) for row in rows if row[index]]
                for index, column in enumerate(header)
                if index
            }
        except (OSError, csv.Error, *MISSHAPEN) as error:
            stage = maker(name)
            raise UserError(f"{name} is damaged ({error}); `dvc repro -sf {stage}` makes it again") from error

    def differs(self, name: str) -> str:
        """What is wrong with a file that the evaluation speaks of, or nothing when it is the same, byte by byte."""
        recorded = self.evaluation["files"].get(name)
        found = sha256(self.path(name))
        if found == recorded:
            return ""
        return f"{name} (SHA-256 {found[:12]}) is not the file that was evaluated ({str(recorded)[:12]})"

    def failures(self) -> Sequence[Failure]:
        """The stages whose last run did not end well. A status file that cannot be read counts as one."""
        found = []
        for path in sorted((self.root / STATUS).glob("*.json")):
            if path.name.startswith(".") or self._outlived(path):  # half-written, or of an earlier run
                continue
            try:
                left = read_json(path)
                if left["code"]:
                    found.append(Failure(str(left["stage"]), int(left["code"]), str(left["reason"])))
            except (UserError, *MISSHAPEN) as error:
                found.append(Failure(path.stem, 1, f"{STATUS}/{path.name} cannot be read: {error}"))
        return found

    def _outlived(self, status: Path) -> bool:
        """Whether all of a stage's outputs are there, and newer than its status.

        DVC deletes them before it runs a stage, and `dvc checkout` or its cache of runs may bring them back, in which
        case no stage runs that would write another status.
        """
        try:
            placed = [_placed(path) for path in self._outputs(status.stem)]
            return bool(placed) and max(placed) > status.stat().st_mtime
        except OSError:  # one is missing
            return False

    def _outputs(self, stage: str) -> list[Path]:
        """The files that a stage makes: by the graph, or where that does not tell, what the stage's folder holds."""
        try:
            graph = yaml.safe_load(self.path(GRAPH).read_text(encoding="utf-8"))
            entries = [entry for kind in ("outs", "metrics") for entry in graph["stages"][stage].get(kind, ())]
            names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
        except (UserError, OSError, yaml.YAMLError, StopIteration, *MISSHAPEN):
            names = []
        folder = self.root / "artifacts" / stage
        # What begins with a dot is git's and DVC's.
        return [self.root / name for name in names] or [path for path in folder.glob("*") if path.name[0] != "."]


def _placed(path: Path) -> float:
    """When a file came to be where it is, in seconds since the epoch. Raises OSError when it is not there."""
    entry = path.lstat()
    # A hard link into DVC's cache keeps the time at which that file was written.
    return max(entry.st_mtime, entry.st_ctime) if entry.st_nlink > 1 else entry.st_mtime
