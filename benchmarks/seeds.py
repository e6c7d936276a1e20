"""A recipe over several seeds: teacher, student and baseline trained anew for each, and one table of what came out.

Data, checks and judge are made once and shared, so that seeds differ in training alone. Every seed has a root of its
own and leaves one small JSON file under docs/results/; a seed whose file is there, for the same recipe, is not run
again, and one that was killed goes on from its last checkpoint. The table is made of those files alone, and put into
the README and the documents that ask for it.

Run      python -m benchmarks.seeds [--recipe recipes/NAME.yaml] [--seeds 0 1 2] [--jobs 2] [--table-only]
Takes   about 25 minutes a seed on one CPU core for street-scenes-long; `--jobs` seeds run side by side, a thread each
"""

import argparse
import datetime
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from benchmarks.documents import embed, row
from benchmarks.headings import heading, metrics_of, number
from benchmarks.intervals import t_interval
from benchmarks.roots import DATA, lend, make_once, processor, run_stage, spent
from benchmarks.settings import PRECISIONS, computed_in, settings
from understudy.errors import UserError
from understudy.files import read_json, write_json, write_text
from understudy.lineage import lineage
from understudy.params.active import load_all
from understudy.params.loader import read
from understudy.report.tables import reading

OWN = ("teacher", "prune", "distill", "baseline", "evaluate")
MODELS = ("teacher", "student", "baseline")
COSTS = ("macs_true_g", "macs_legacy_g", "params_m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/street-scenes-long.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="seeds side by side (default: the cores)")
    parser.add_argument("--scratch", type=Path, default=Path(".understudy/seeds"), help="where the roots are kept")
    parser.add_argument("--table-only", action="store_true", help="make the table from the results that are there")
    arguments = parser.parse_args()
    load_all(arguments.recipe)
    results = Path("docs/results") / arguments.recipe.stem
    if not arguments.table_only:
        scratch = arguments.scratch / arguments.recipe.stem
        missing = [seed for seed in arguments.seeds if not _done(results / f"seed-{seed}.json", arguments.recipe)]
        if missing:
            shared = _prepare_shared(arguments.recipe, scratch)
            with ThreadPoolExecutor(arguments.jobs) as pool:
                list(pool.map(lambda seed: _run_seed(arguments.recipe, seed, scratch, shared, results), missing))
    text = table(arguments.recipe, results_of(arguments.recipe, results))
    embed(arguments.recipe.stem, text, [Path("README.md"), *sorted(Path("docs").glob("*.md"))])
    print(text)


def results_of(recipe: Path, folder: Path) -> list[dict[str, Any]]:
    """The results of every seed, in order, less those of the recipe as it once was. Raises UserError for none."""
    found = [read_json(path) for path in folder.glob("seed-*.json") if _done(path, recipe)]
    if not found:
        raise UserError(f"{folder}: holds no result of {recipe} as it stands; run without --table-only")
    return sorted(found, key=lambda result: result["seed"])


def _done(path: Path, recipe: Path) -> bool:
    return path.exists() and read_json(path)["settings"] in {settings(recipe, one) for one in PRECISIONS}


def _prepare_shared(recipe: Path, scratch: Path) -> Path:
    """Data, checks and judge, made once for the sections that they read. They do not read base.seed."""
    root = scratch / f"shared-{settings(recipe, computed_in(recipe), ('runtime', 'prepare', 'judge'))}"
    make_once(DATA, recipe, root)
    return root


def _run_seed(recipe: Path, seed: int, scratch: Path, shared: Path, results: Path) -> None:
    root = scratch / f"seed-{seed}"
    lend(DATA, shared, root)
    params = root / "params.yaml"
    write_text(params, yaml.safe_dump({**read(recipe), "base": {"seed": seed}}, sort_keys=False))
    for stage in OWN:
        run_stage(stage, params, root)
    evaluation = read_json(root / "artifacts/evaluate/evaluation.json")
    latency = read_json(root / ".understudy/evaluate/latency.json")
    precision = computed_in(recipe)
    kept = {
        key: evaluation[key] for key in ("dataset", "kind", "split", "determinism", "models", "differences", "collapse")
    }
    write_json(
        results / f"seed-{seed}.json",
        {
            "recipe": str(recipe),
            "settings": settings(recipe, precision),
            "seed": seed,
            "date": datetime.date.today().isoformat(),
            "hardware": f"{processor()}, {latency['threads']} thread of it, on {latency['device']} in {precision}",
            "minutes": {stage: round(entry["seconds"] / 60, 1) for stage, entry in spent(root).items()},
            **lineage(root),
            **kept,
        },
    )


def table(recipe: Path, found: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: quality and cost by seed, then the two comparisons that decide, each with its 95 % interval."""
    quality = metrics_of(found[0])
    head = ["seed", *(f"{heading(metric)}, {model}" for metric in quality for model in MODELS)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for result in found:
        cells = [_cell(result, model, metric) for metric in quality for model in MODELS]
        lines.append(row([str(result["seed"]), *cells]))
    lines.append(row(["mean", *(_mean(found, model, metric) for metric in quality for model in MODELS)]))
    lines += ["", "| seed | metric | student - teacher | student - baseline |", "| --- | --- | --- | --- |"]
    for result in found:
        for metric in quality:
            pair = [reading(metric, _difference(result, other, metric)) for other in MODELS[::2]]
            lines.append(row([str(result["seed"]), heading(metric), *pair]))
    if len(found) > 1:
        for metric in quality:
            pair = [
                reading(metric, over_seeds([_difference(r, other, metric) for r in found])) for other in MODELS[::2]
            ]
            lines.append(row(["all", heading(metric), *pair]))
    lines += ["", _costs(found), "", _origin(recipe, found)]
    return "\n".join(lines) + "\n"


def _difference(result: Mapping[str, Any], other: str, metric: str) -> Mapping[str, float] | None:
    """The student's metric minus the other model's, with its interval over the test images of one seed."""
    return result["differences"][f"student_minus_{other}"].get(metric)


def over_seeds(differences: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """The mean difference with Student's 95 % interval: what another seed may be expected to show."""
    return t_interval([difference["value"] for difference in differences if difference])


def _cell(result: Mapping[str, Any], model: str, metric: str) -> str:
    entry = result["models"][model].get(metric)
    return number(entry["value"], metric) if entry else "-"


def _mean(found: Sequence[Mapping[str, Any]], model: str, metric: str) -> str:
    values = [result["models"][model][metric]["value"] for result in found if metric in result["models"][model]]
    if not values:
        return "-"
    spread = f" ± {number(statistics.stdev(values), metric)}" if len(values) > 1 else ""
    return f"{number(statistics.mean(values), metric)}{spread}"


def _costs(found: Sequence[Mapping[str, Any]]) -> str:
    """What students cost, over the seeds: pruning is by the teacher's norms, so each seed has its own architecture."""
    parts = []
    for key in COSTS:
        ratios = [r["models"]["teacher"][key]["value"] / r["models"]["student"][key]["value"] for r in found]
        values = [r["models"]["student"][key]["value"] for r in found]
        parts.append(
            f"{key} {min(values):.4g} to {max(values):.4g} ({min(ratios):.1f} to {max(ratios):.1f} times fewer)"
        )
    return "Students: " + "; ".join(parts) + "."


def _origin(recipe: Path, found: Sequence[Mapping[str, Any]]) -> str:
    best = metrics_of(found[0])[0]
    ceiling = number(found[0]["models"]["real"][best]["value"], best)
    minutes = statistics.median(sum(result["minutes"].values()) for result in found)
    dates = sorted(result["date"] for result in found)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    hardware = "; ".join(sorted({result["hardware"] for result in found}))
    return (
        "Intervals: 95 %, of a seed by paired bootstrap over the test images, of all by Student's t over the seeds; "
        "better and worse where they leave zero out. ±: standard deviation over seeds. The judge reads "
        f"real test photos at {heading(best)} {ceiling}. {minutes:.0f} minutes a seed. Made by "
        f"`python -m benchmarks.seeds --recipe {recipe}` on {when}; {hardware}."
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"seeds: {error}")
