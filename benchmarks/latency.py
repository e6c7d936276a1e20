"""Whether prune meets a budget of milliseconds: a half, a quarter and an eighth of what the teacher takes here.

Each student is chosen by the stage and timed again afterwards, in turn with the teacher. Other work on the machine
disturbs this; where there is much of it, --cpu-time counts the milliseconds that the processor spends on the one thread
in place of those on the wall, in the stage too.

Run      OMP_NUM_THREADS=1 python -m benchmarks.latency [--params FILE] [--root DIR] [--cpu-time],
         where artifacts/teacher is in DIR
Takes    some two minutes for the teacher of params.yaml on one quiet CPU core
Expect   every student between 90 % and all of its budget, by the stage's own fresh timing
"""

import argparse
import contextlib
import io
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from stages import prune
from understudy.arch import families as architecture
from understudy.cost import cost
from understudy.errors import UserError
from understudy.files import read_json
from understudy.params.loader import load, read
from understudy.params.runtime import Runtime
from understudy.prune.scores import read_scores
from understudy.prune.stopwatch import Stopwatch
from understudy.runtime import device, seed_everything, threads
from understudy.stage import Job
from understudy.weights import load_generator

SHARES = (1 / 2, 1 / 4, 1 / 8)
METHODS = ("threshold", "uniform")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        torch.set_num_threads(1)
        time.perf_counter = time.thread_time
    runtime = load(arguments.params, (Runtime,))[Runtime]
    seed_everything(0)
    place = device(runtime)
    folder = arguments.root / "artifacts/teacher"
    teacher, net = load_generator(folder / "arch.json", folder / "weights.safetensors")
    weights = net.state_dict()
    stopwatch = Stopwatch(teacher, weights, read_scores(weights, teacher), place)
    size = "x".join(map(str, teacher.size))
    print(f"{place}, {threads()} threads, torch {torch.__version__}, one image of {size}, fp32\n")
    print("| method | budget, ms | student, ms | of the budget | teacher, ms | timings | MACs, times fewer "
          "| again: student, ms | teacher, ms | of the budget's share |")  # fmt: skip
    print("| --- |" + " ---: |" * 9)
    for method in METHODS:
        for share in SHARES:
            print(row(arguments, stopwatch, method, share), flush=True)


def row(arguments: argparse.Namespace, stopwatch: Stopwatch, method: str, share: float) -> str:
    """One student for a share of what the teacher takes just now, chosen and timed again."""
    values = read(arguments.params)
    whole = statistics.median(alone for _, alone in stopwatch(stopwatch.teacher))
    budget = float(f"{share * whole:.3g}")
    values["prune"] |= {"method": method, "budget": milliseconds(budget)}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shutil.copytree(arguments.root / "artifacts/teacher", root / "artifacts/teacher")
        (root / "params.yaml").write_text(yaml.safe_dump(values))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                prune.run(Job("prune", root, load(root / "params.yaml", prune.READS)))
        except UserError as error:
            return f"| {method} | {budget:g} | {error} |"
        record: dict[str, Any] = read_json(root / ".understudy/prune/latency.json")
        student = architecture.load(root / "artifacts/prune/arch.json")
    rounds = stopwatch(student)
    again, alone = (statistics.median(column) for column in zip(*rounds, strict=True))
    found = statistics.median(own / whole for own, whole in rounds)
    fewer = cost(stopwatch.teacher).macs_true / cost(student).macs_true
    return (
        f"| {method} | {budget:g} | {record['student_ms']:.3g} | {record['student_ms'] / budget:.1%} | "
        f"{record['teacher_ms']:.3g} | {record['timings']} | {fewer:.1f} | "
        f"{again:.3g} | {alone:.3g} | {found * record['teacher_ms'] / budget:.1%} |"
    )


def milliseconds(budget: float) -> dict[str, float | None]:
    return {"macs_true_g": None, "macs_legacy_g": None, "params_m": None, "latency_ms": budget}


if __name__ == "__main__":
    main()
