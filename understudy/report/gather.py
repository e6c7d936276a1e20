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
from understudy.verdict import PATH, Verdict, read_verdict

EVALUATION = "artifacts/evaluate/evaluation.json"
DATASET = "artifacts/prepare/dataset.json"
TEST_SPLIT = "artifacts/prepare/test.zip"
CHECKED = "artifacts/check/result.json"
LATENCY = ".understudy/evaluate/latency.json"
STATUS = ".understudy/status"
PARAMS = "params.yaml"
STAGES = {"teacher": "teacher", "student": "distill", "baseline": "baseline"}  # name: the stage that made the network
# What a file of another shape than its stage writes makes a reader trip over.
MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)


@dataclass(frozen=True)
class Part:
    """A part of the page. content: what it shows, or None, and then `absent` says in a sentence why, and what to do."""

    content: Any = None
    absent: str = ""


@dataclass(frozen=True)
class Failure:
    """A stage that failed: its exit code and the reason that it left."""

    stage: str
    code: int
    reason: str


def part(make: Callable[[], Any], *sources: str) -> Part:
    """The part that `make` builds out of the files `sources` (under the root), or what kept it from doing so."""
    try:
        return Part(make())
    except UserError as error:
        return Part(absent=f"{error}.")
    except MISSHAPEN as error:
        stages = ", ".join(dict.fromkeys(filter(None, map(maker, sources))))
        return Part(absent=f"{', '.join(sources)}: not what {stages or 'this version'} writes ({error!r}); "
                           f"`dvc repro -sf {stages.replace(',', '') or 'evaluate'}` makes it again.")  # fmt: skip


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

    @functools.cached_property
    def params(self) -> Mapping[str, Any]:
        """params.yaml as it is, not checked: an older run's may have other keys."""
        try:
            found = yaml.safe_load(self.path(PARAMS).read_text(encoding="utf-8"))
        except (yaml.YAMLError, ValueError, OSError) as error:
            raise UserError(f"{PARAMS} cannot be read as YAML: {error}") from error
        if not isinstance(found, dict):
            raise UserError(f"{PARAMS} is not a mapping of sections")
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
        """The stages of the last run that failed. A status file that cannot be read counts as one."""
        found = []
        for path in sorted((self.root / STATUS).glob("*.json")):
            try:
                left = read_json(path)
                if left["code"]:
                    found.append(Failure(str(left["stage"]), int(left["code"]), str(left["reason"])))
            except (UserError, *MISSHAPEN) as error:
                found.append(Failure(path.stem, 1, f"{STATUS}/{path.name} cannot be read: {error}"))
        return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as `section.key` -> text, in order."""
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{name}."))
        else:
            found[name] = str(value)
    return found
