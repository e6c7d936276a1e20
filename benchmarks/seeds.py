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
import hashlib
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import t

from understudy.errors import UserError
from understudy.files import read_json, write_json, write_text
from understudy.lineage import lineage
from understudy.metrics.protocol import FRECHET, KID, READINGS
from understudy.params.active import load_all
from understudy.params.loader import read
from understudy.params.runtime import Runtime
from understudy.report.tables import reading

SHARED = ("prepare", "check", "judge")
OWN = ("teacher", "prune", "distill", "baseline", "evaluate")
READ = (  # by what is measured
    "runtime", "prepare", "judge", "objective", "teacher", "prune", "student", "distill", "evaluate",
)  # fmt: skip
PRECISIONS = ("bf16", "fp32")  # one of which runtime.precision: auto is, by the machine
# Sub-sections that belong to one family each; only that of the section's own `family` is looked at.
FAMILIES = {"objective": ("cyclegan", "gaugan"), "teacher": ("inception", "resnet", "unet", "spade", "custom")}
MODELS = ("teacher", "student", "baseline")
HEADINGS = {  # what a metric's name begins with: (heading, decimals)
    "miou": ("mIoU", 4),
    "l1_to_input": ("L1 to the input", 4),
    "target_share": ("taken for the target", 3),
    "frechet_distance": ("Frechet distance", 4),
    "kid": ("KID x 1000", 3),
}
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


def embed(name: str, text: str, documents: Sequence[Path]) -> None:
    """Put the table where a document asks for it: between `<!-- table: NAME -->` and `<!-- end of table -->`."""
    pattern = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end of table -->)", re.DOTALL)
    for document in documents:
        before = document.read_text(encoding="utf-8")
        after = pattern.sub(lambda match: f"{match[1]}{text}{match[2]}", before)
        if after != before:
            write_text(document, after)


def results_of(recipe: Path, folder: Path) -> list[dict[str, Any]]:
    """The results of every seed, in order, less those of the recipe as it once was. Raises UserError for none."""
    found = [read_json(path) for path in folder.glob("seed-*.json") if _done(path, recipe)]
    if not found:
        raise UserError(f"{folder}: holds no result of {recipe} as it stands; run without --table-only")
    return sorted(found, key=lambda result: result["seed"])


def _done(path: Path, recipe: Path) -> bool:
    return path.exists() and read_json(path)["settings"] in {settings(recipe, one) for one in PRECISIONS}


def _computed_in(recipe: Path) -> str:
    """The precision that this machine's networks compute in, by the recipe."""
    from understudy.runtime import device, precision  # torch, which a table does without

    runtime = load_all(recipe)[Runtime]
    return precision(runtime, device(runtime))


def settings(recipe: Path, precision: str, sections: Sequence[str] = READ) -> str:
    """12 hexadecimal digits that stand for everything in a recipe that its results depend on: not the gate's bounds.

    precision: what `runtime.precision: auto` means; a recipe that names one has that. Results in either are results of
    a recipe with `auto`; their digits are those of the same recipe with the precision that they were made in.

    What is null is off, as if it were not there, and so are instances that are not looked at and what another family
    uses: a new parameter that a recipe does not use leaves its results valid.
    """
    values = _given({key: value for key, value in read(recipe).items() if key in sections})
    if values.get("runtime", {}).get("precision") == "auto":
        values["runtime"]["precision"] = precision
    for section, families in FAMILIES.items():
        for family in families:
            if values.get(section, {}).get("family", family) != family:
                values[section].pop(family, None)
    if not values.get("prepare", {}).get("instances"):
        values.get("prepare", {}).pop("instances", None)
    if values.get("objective", {}).get("family") != "cyclegan":
        values.get("distill", {}).pop("cyclegan", None)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _given(value: Any) -> Any:
    """`value` less every entry of a mapping that is null."""
    if not isinstance(value, Mapping):
        return value
    return {key: _given(entry) for key, entry in value.items() if entry is not None}


def _prepare_shared(recipe: Path, scratch: Path) -> Path:
    """Data, checks and judge, made once for the sections that they read. They do not read base.seed."""
    root = scratch / f"shared-{settings(recipe, _computed_in(recipe), ('runtime', 'prepare', 'judge'))}"
    for stage in SHARED:
        made = root / f"{stage}.made"
        if not made.exists():
            _run_stage(stage, recipe, root)
            made.touch()
    return root


def _run_seed(recipe: Path, seed: int, scratch: Path, shared: Path, results: Path) -> None:
    root = scratch / f"seed-{seed}"
    for stage in SHARED:
        shutil.copytree(shared / "artifacts" / stage, root / "artifacts" / stage, dirs_exist_ok=True)
    params = root / "params.yaml"
    write_text(params, yaml.safe_dump({**read(recipe), "base": {"seed": seed}}, sort_keys=False))
    for stage in OWN:
        _run_stage(stage, params, root)
    evaluation = read_json(root / "artifacts/evaluate/evaluation.json")
    latency = read_json(root / ".understudy/evaluate/latency.json")
    computed_in = _computed_in(recipe)
    kept = {
        key: evaluation[key] for key in ("dataset", "kind", "split", "determinism", "models", "differences", "collapse")
    }
    write_json(
        results / f"seed-{seed}.json",
        {
            "recipe": str(recipe),
            "settings": settings(recipe, computed_in),
            "seed": seed,
            "date": datetime.date.today().isoformat(),
            "hardware": f"{_processor()}, {latency['threads']} thread of it, on {latency['device']} in {computed_in}",
            "minutes": read_json(root / "minutes.json"),
            **lineage(root),
            **kept,
        },
    )


def _run_stage(stage: str, params: Path, root: Path) -> None:
    """Run one stage with one thread; its output goes to ROOT/STAGE.txt, its time, added up, to ROOT/minutes.json."""
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"stages.{stage}", "--params", str(params), "--root", str(root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "UNDERSTUDY_TRACKING": "off"}
    ledger = root / "minutes.json"
    start = time.monotonic()
    with (root / f"{stage}.txt").open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment).returncode
    spent = (time.monotonic() - start) / 60
    before = read_json(ledger) if ledger.exists() else {}
    write_json(ledger, {**before, stage: round(before.get(stage, 0) + spent, 1)})
    if code:
        raise UserError(f"{stage} failed with code {code} in {root}; see {root / f'{stage}.txt'}", code)
    print(f"{root.name}: {stage} done in {spent:.1f} min", flush=True)


def _processor() -> str:
    """The CPU's model name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(recipe: Path, found: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: quality and cost by seed, then the two comparisons that decide, each with its 95 % interval."""
    quality = metrics_of(found[0])
    head = ["seed", *(f"{_heading(metric)}, {model}" for metric in quality for model in MODELS)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for result in found:
        cells = [_cell(result, model, metric) for metric in quality for model in MODELS]
        lines.append(_row([str(result["seed"]), *cells]))
    lines.append(_row(["mean", *(_mean(found, model, metric) for metric in quality for model in MODELS)]))
    lines += ["", "| seed | metric | student - teacher | student - baseline |", "| --- | --- | --- | --- |"]
    for result in found:
        for metric in quality:
            pair = [reading(metric, _difference(result, other, metric)) for other in MODELS[::2]]
            lines.append(_row([str(result["seed"]), _heading(metric), *pair]))
    if len(found) > 1:
        for metric in quality:
            pair = [
                reading(metric, over_seeds([_difference(r, other, metric) for r in found])) for other in MODELS[::2]
            ]
            lines.append(_row(["all", _heading(metric), *pair]))
    lines += ["", _costs(found), "", _origin(recipe, found)]
    return "\n".join(lines) + "\n"


def metrics_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What a table of such data shows: what their judge reads, the Frechet distance, KID."""
    kind = result["kind"]
    return READINGS[kind][0].name, FRECHET[kind], KID[kind]


def _heading(metric: str) -> str:
    return _shown(metric)[0]


def _shown(metric: str) -> tuple[str, int]:
    """Heading and decimals."""
    return next(shown for start, shown in HEADINGS.items() if metric.startswith(start))


def _difference(result: Mapping[str, Any], other: str, metric: str) -> Mapping[str, float] | None:
    """The student's metric minus the other model's, with its interval over the test images of one seed."""
    return result["differences"][f"student_minus_{other}"].get(metric)


def over_seeds(differences: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """The mean difference with Student's 95 % interval: what another seed may be expected to show."""
    values = [difference["value"] for difference in differences if difference]
    if len(values) < 2:
        return None
    mean = statistics.mean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return {"value": mean, "low": mean - half, "high": mean + half}


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _scale(metric: str) -> float:
    return 1000 if metric.startswith("kid") else 1


def _number(value: float, metric: str) -> str:
    return f"{value * _scale(metric):.{_shown(metric)[1]}f}"


def _cell(result: Mapping[str, Any], model: str, metric: str) -> str:
    entry = result["models"][model].get(metric)
    return _number(entry["value"], metric) if entry else "-"


def _mean(found: Sequence[Mapping[str, Any]], model: str, metric: str) -> str:
    values = [result["models"][model][metric]["value"] for result in found if metric in result["models"][model]]
    if not values:
        return "-"
    spread = f" ± {_number(statistics.stdev(values), metric)}" if len(values) > 1 else ""
    return f"{_number(statistics.mean(values), metric)}{spread}"


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
    ceiling = _number(found[0]["models"]["real"][best]["value"], best)
    minutes = statistics.median(sum(result["minutes"].values()) for result in found)
    dates = sorted(result["date"] for result in found)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    hardware = "; ".join(sorted({result["hardware"] for result in found}))
    return (
        "Intervals: 95 %, of a seed by paired bootstrap over the test images, of all by Student's t over the seeds; "
        "better and worse where they leave zero out. ±: standard deviation over seeds. The judge reads "
        f"real test photos at {_heading(best)} {ceiling}. {minutes:.0f} minutes a seed. Made by "
        f"`python -m benchmarks.seeds --recipe {recipe}` on {when}; {hardware}."
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"seeds: {error}")
