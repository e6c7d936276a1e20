"""Which distillation helps, by how much, at what cost: arms over seeds, on the same data, by the same teacher.

Every run leaves a small JSON file in docs/results/bakeoff/, and is not run again; one that was killed goes on from its
last checkpoint. The tables and plots of docs/bakeoff.md are made of those files alone.

Run      python -m benchmarks.bakeoff [--questions losses ...] [--designs ...] [--arms ...] [--seeds 1 2 3 4 5]
         [--jobs 2] [--scratch DIR] [--table-only]
Takes    at most 3 minutes a run on one CPU core; before the first of a design its data, judge and teacher: half an
         hour. `--jobs` runs side by side, a thread each. Clones on one machine share what is made once with `--scratch`
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.bakeoff.arms import ARMS
from benchmarks.bakeoff.designs import designs
from benchmarks.bakeoff.document import DOCUMENT, tell
from benchmarks.bakeoff.questions import QUESTIONS
from understudy.errors import UserError

SEEDS = (1, 2, 3, 4, 5)  # 0 is the teacher's


def main() -> None:
    known = designs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, help="run what these need (default: all)")
    parser.add_argument("--designs", nargs="+", choices=known, default=list(known))
    parser.add_argument("--arms", nargs="+", choices=ARMS, help="run these (default: those of the questions)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side (default: the cores)")
    parser.add_argument("--scratch", type=Path, default=Path(".understudy/bakeoff"), help="where the roots are kept")
    parser.add_argument("--table-only", action="store_true", help="make tables and plots of the results that are there")
    arguments = parser.parse_args()
    asked = [QUESTIONS[name] for name in arguments.questions or QUESTIONS]
    names = arguments.arms or dict.fromkeys(arm for question in asked for arm in question.arms)
    failed: list[UserError] = []
    if not arguments.table_only:
        from benchmarks.bakeoff.runs import run_all  # torch, which a table does without

        arms = [ARMS[name] for name in names]
        for design in (known[name] for name in arguments.designs):
            try:
                failed += run_all(design, arms, arguments.seeds, arguments.jobs, arguments.scratch)
            except UserError as error:  # of what its runs share: another design has its own
                failed.append(error)
    for design in known.values():
        print(f"{design.name}: {DOCUMENT} tells of {tell(design, SEEDS)} runs")
    if failed:
        raise UserError("; ".join(map(str, failed)), failed[0].code)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"bakeoff: {error}", file=sys.stderr)
        sys.exit(error.code)
