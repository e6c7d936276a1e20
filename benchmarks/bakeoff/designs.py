"""Where arms are compared: a design is a recipe `recipes/bakeoff-NAME.yaml`, and its results a folder.

Everything but the student's training is made once for a design and lent to each of its runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.bakeoff.arms import Arm
from benchmarks.settings import READ, digits
from understudy.errors import UserError
from understudy.files import read_json
from understudy.params.loader import read

RECIPES, RESULTS = Path("recipes"), Path("docs/results/bakeoff")
PREFIX = "bakeoff-"
SECTIONS = ("base", *READ)  # base.seed too: the recipe's is the teacher's
ORIGIN = ("teacher", "judge")  # what all results of a design have in common, by hash
PRECISION = "fp32"  # what a recipe must name: then results of all machines are of the same settings


@dataclass(frozen=True)
class Design:
    name: str

    @property
    def recipe(self) -> Path:
        return RECIPES / f"{PREFIX}{self.name}.yaml"

    @cached_property
    def values(self) -> dict[str, Any]:
        """The recipe. Raises UserError when it leaves the precision to the machine."""
        values = read(self.recipe)
        if (found := values.get("runtime", {}).get("precision")) != PRECISION:
            raise UserError(
                f"{self.recipe}: runtime.precision: {found}; set it to {PRECISION}, which all machines have"
            )
        return values

    def settings(self, arm: Arm) -> str:
        """The digits of everything that a result of this arm depends on but its seed."""
        return digits(arm.params(self.values), PRECISION, SECTIONS)

    def result(self, arm: Arm, seed: int) -> Path:
        return RESULTS / self.name / arm.name / f"seed-{seed}.json"

    @property
    def teacher_result(self) -> Path:
        return RESULTS / self.name / "teacher.json"

    def is_done(self, arm: Arm, seed: int) -> bool:
        """Whether there is a result of the recipe and the arm as they stand."""
        path = self.result(arm, seed)
        return path.exists() and read_json(path)["settings"] == self.settings(arm)

    def results(self, arms: Iterable[Arm]) -> dict[str, list[dict[str, Any]]]:
        """Valid results by arm, each in order of seeds. Raises UserError when they are of more than one teacher."""
        found = {}
        for arm in arms:
            paths = (RESULTS / self.name / arm.name).glob("seed-*.json")
            results = [result for path in paths if (result := read_json(path))["settings"] == self.settings(arm)]
            found[arm.name] = sorted(results, key=lambda result: result["seed"])
        require_one_origin(self.name, [result for results in found.values() for result in results])
        return found


def designs() -> dict[str, Design]:
    """Every design that has a recipe, by name. Raises UserError when there is none."""
    names = [path.stem.removeprefix(PREFIX) for path in sorted(RECIPES.glob(f"{PREFIX}*.yaml"))]
    if not names:
        raise UserError(f"{RECIPES}: holds no {PREFIX}NAME.yaml; run this where the project's recipes folder is")
    return {name: Design(name) for name in names}


def require_one_origin(name: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError when results come from several teachers or judges, between which nothing could be compared.

    Training is the same to the byte on one kind of processor, and another may round differently.
    """
    for part in ORIGIN:
        known = {result["origin"][part]: f"{result['arm']}, seed {result['seed']}" for result in results}
        if len(known) > 1:
            (first, one), (second, other), *_ = known.items()
            raise UserError(
                f"{name}: results of two {part}s, {first} ({one}) and {second} ({other}); remove those of one, and "
                "make the others with the shared folders of the machine that they came from (--scratch)"
            )
