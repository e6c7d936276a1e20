"""The runs of a design: what they share is made once, then each trains one student, scores it and leaves one file.

A run whose file is there, for the recipe and arm as they stand, is not run again; one that was killed goes on from its
last checkpoint. Students of one seed see the same images in the same order, mirrored alike, whatever their arm, and
those that inherit the same start from the same weights: every network and every stream of data has a random generator
of its own. Only what the arm is differs.
"""

import datetime
import importlib.metadata
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bakeoff.arms import ARMS, Arm
from benchmarks.bakeoff.curves import lowest, thinned
from benchmarks.bakeoff.designs import ORIGIN, PRECISION, Design, require_one_origin
from benchmarks.bakeoff.score import NAME as SCORE
from benchmarks.bakeoff.score import NETWORK
from benchmarks.roots import DATA, lend, make_once, processor, run_module, run_stage, spent
from benchmarks.settings import digits
from understudy import locks
from understudy.errors import UserError
from understudy.files import read_json, sha256, write_json, write_text
from understudy.lineage import lineage

# Stages that are made once, and the sections that each group of them depends on beyond those before it.
OF_DATA = ("runtime", "prepare", "judge")
OF_TEACHER = (*OF_DATA, "base", "objective", "teacher")
OF_PRUNING = (*OF_TEACHER, "prune")
COSTS = ("macs_true_g", "params_m")
PARAMS = "params.yaml"  # in a root


def run_all(design: Design, arms: Iterable[Arm], seeds: Iterable[int], jobs: int, scratch: Path) -> list[UserError]:
    """Make every result of a design that is not there, `jobs` at a time; what failed, while the others went on.

    All arms of a seed come before those of the next, so that what is there at any time can be compared.
    """
    arms = list(arms)
    todo = [(arm, seed) for seed in seeds for arm in arms if not design.is_done(arm, seed)]
    if not todo:
        return []
    pruned = make_shared(design, {arm.name: arm for arm, _ in todo}.values(), scratch)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_one, design, arm, seed, pruned[arm.name], scratch) for arm, seed in todo]
        try:
            finished = [future.exception() for future in as_completed(futures)]
        except BaseException:  # Ctrl-C reached the trainings too, which save their state: start no others
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for error in finished:
        if error is not None and not isinstance(error, UserError):
            raise error
    return [error for error in finished if isinstance(error, UserError)]


def make_shared(design: Design, arms: Iterable[Arm], scratch: Path) -> dict[str, Path]:
    """Data, judge, teacher and each arm's pruned architecture, made once; the root that has them all, by arm.

    scratch: where roots are kept. Several commands may share it: one makes what is missing, and the others wait.
    Raises UserError when results that are there are of another teacher or judge.
    """
    home, values = scratch / design.name, design.values
    with locks.held(home / "lock"):
        data, teacher = _root(home, "data", OF_DATA, values), _root(home, "teacher", OF_TEACHER, values)
        make_once(DATA, data / PARAMS, data)
        lend(DATA, data, teacher)
        make_once(("teacher",), teacher / PARAMS, teacher)
        known = [result for results in design.results(ARMS.values()).values() for result in results]
        require_one_origin(design.name, [*known, {"arm": "this machine", "seed": "-", "origin": origin(teacher)}])
        _tell_teacher(design, teacher)
        found = {}
        for arm in arms:
            root = _root(home, "pruned", OF_PRUNING, arm.params(values))
            lend(DATA, data, root)
            lend(("teacher",), teacher, root)
            make_once(("prune",), root / PARAMS, root)
            found[arm.name] = root
    return found


def run_one(design: Design, arm: Arm, seed: int, pruned: Path, scratch: Path) -> None:
    """Train one student and score it, in a root of its own; leave its result."""
    root = borrow(design, arm, seed, pruned, scratch)
    run_stage("distill", root / PARAMS, root)
    run_module("benchmarks.bakeoff.score", root / PARAMS, root, "--stage", "distill")
    values, arch = arm.params(design.values, seed), root / "artifacts/distill/arch.json"
    write_json(
        design.result(arm, seed),
        {
            "design": design.name,
            "arm": arm.name,
            "seed": seed,
            "settings": design.settings(arm),
            **_scored(root),
            "training": {"steps": sum(values["student"]["schedule"][f"{part}_steps"] for part in ("constant", "decay")),
                         **spent(root)["distill"]},
            "curves": thinned(root / "artifacts/distill/curves.csv"),
            "lowest": lowest(arch, values["distill"]["alignment"]["weight"]),
            "origin": {**origin(root), "architecture": sha256(arch)[:12]},
            **_circumstances(root),
        },
    )  # fmt: skip


def borrow(design: Design, arm: Arm, seed: int, pruned: Path, scratch: Path) -> Path:
    """The root of one run, with its parameters and all that its training reads. pruned: the arm's, of `make_shared`."""
    root = scratch / design.name / f"{arm.name}-{design.settings(arm)}" / f"seed-{seed}"
    lend((*DATA, "teacher", "prune"), pruned, root)
    _write_params(root, arm.params(design.values, seed))
    return root


def origin(root: Path) -> dict[str, str]:
    """By what the results of a root can be compared with others: the first digits of its teacher's and judge's hash."""
    return {part: sha256(root / f"artifacts/{part}/weights.safetensors")[:12] for part in ORIGIN}


def _tell_teacher(design: Design, root: Path) -> None:
    """Score the teacher beside its students, once."""
    if design.teacher_result.exists() and read_json(design.teacher_result)["origin"] == origin(root):
        return
    run_module("benchmarks.bakeoff.score", root / PARAMS, root, "--stage", "teacher")
    told = {"design": design.name, "arm": "teacher", **_scored(root), "training": spent(root)["teacher"]}
    write_json(design.teacher_result, {**told, "origin": origin(root), **_circumstances(root)})


def _scored(root: Path) -> dict[str, Any]:
    """kind, metrics and costs, as score.py measured them."""
    measured = read_json(root / SCORE)
    network = measured["models"][NETWORK]
    metrics = {name: entry for name, entry in network.items() if "low" in entry}
    costs = {name: network[name]["value"] for name in COSTS}
    return {"kind": measured["kind"], "metrics": metrics, "costs": costs, "collapse": measured["collapse"][NETWORK]}


def _circumstances(root: Path) -> dict[str, str]:
    """When, on what and by which code."""
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{processor()}, 1 thread of it, in {PRECISION}",
        "torch": importlib.metadata.version("torch"),
        **lineage(root),
    }


def _root(home: Path, name: str, sections: tuple[str, ...], values: Mapping[str, Any]) -> Path:
    """A root for what depends on these sections, with its parameters in it."""
    root = home / f"{name}-{digits(values, PRECISION, sections)}"
    _write_params(root, values)
    return root


def _write_params(root: Path, values: Mapping[str, Any]) -> None:
    write_text(root / PARAMS, yaml.safe_dump(dict(values), sort_keys=False))
