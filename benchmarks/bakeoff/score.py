"""One network on the test split, by the code that evaluates: every metric with its interval over the test images.

Run      python -m benchmarks.bakeoff.score --params FILE --root DIR --stage distill
Takes    about 15 s for 2,000 test images of 64 px on one CPU core
"""

import argparse
import sys
from pathlib import Path

from understudy.errors import UserError
from understudy.files import write_json
from understudy.gate import DATASET
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.loader import load
from understudy.params.runtime import Runtime
from understudy.params.scoring import Scoring
from understudy.remeasure import Files, measure

NAME = "score.json"  # what it leaves in the root
NETWORK = "network"  # what the scored one is called there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument(
        "--stage", choices=("teacher", "distill"), required=True, help="the stage that made the network"
    )
    arguments = parser.parse_args()
    sections = load(arguments.params, (Base, Runtime, Evaluate))
    scoring = Scoring(sections[Base], sections[Runtime], sections[Evaluate])
    made = arguments.root / "artifacts" / arguments.stage
    files = Files(made / "arch.json", made / "weights.safetensors", arguments.root / DATASET)
    write_json(arguments.root / NAME, measure(arguments.root, scoring, {NETWORK: files}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"score: {error}")
