"""The shipped pipeline, shrunk by its parameters alone, in a git and DVC repository of its own."""

import re
from pathlib import Path
from typing import Any

import yaml
from own_repository import commit, copy_files

from understudy.arch.teacher import teacher_arch
from understudy.cost import cost
from understudy.params.loader import parse
from understudy.params.teacher import Teacher

SIZE = (32, 32)
CLASSES = 13  # of the street scenes
IMAGES = {"train": 24, "val": 8, "test": 16}


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '(\w+)'", output))


def legacy_macs(most: float) -> dict[str, float | None]:
    """`prune.budget`: so many multiply-accumulates, as the literature counts."""
    return {"macs_true_g": None, "macs_legacy_g": most / 1e9, "params_m": None, "latency_ms": None}


def shrink(
    values: dict[str, Any],
    size: tuple[int, int] = SIZE,
    objective: str = "pix2pix",
    instances: bool = False,
    **teacher: object,
) -> dict[str, Any]:
    """The shipped parameters, as small as every stage can still do its work with. teacher: fields to set of it."""
    schedule = {"constant_steps": 10, "decay_steps": 10, "batch_size": 4, "validate_every": 10, "checkpoint_every": 10}
    # Twenty steps must move a network far enough from its first, constant output.
    schedule |= {"learning_rate": 5.0e-3, "ema_decay": 0.0}
    values["runtime"] = {"device": "cpu", "precision": "fp32"}
    values["prepare"] |= {"size": list(size), "instances": instances}
    values["objective"]["family"] = objective
    values["check"] |= {
        "min_images": dict(IMAGES),
        "min_class_images": dict.fromkeys(IMAGES, 0),
        "near_duplicate_bits": 0,
        "near_duplicate_tone": 0.0,
    }
    values["judge"] |= {"width": 8, "steps": 30, "batch_size": 8}
    values["teacher"] |= {"ngf": 12, "ndf": 8, **teacher}
    values["teacher"]["schedule"] |= schedule
    values["student"]["schedule"] |= schedule
    macs = cost(teacher_arch(parse(Teacher, values["teacher"], "teacher"), CLASSES + instances, size)).macs_legacy
    values["prune"] |= {"budget": legacy_macs(round(macs / 4, -3)), "min_width": 4}
    values["evaluate"] |= {"resamples": 40, "latency_runs": 2}
    values["export"]["calibration_images"] = 8
    # 16 test images are too few for a Frechet distance: evaluate leaves it out, and a bound on it would fail.
    values["gate"] = {
        "miou_segmenter_noresize_test": {"min": 0.0, "max_worse_than_teacher": 1.0},
        "macs_legacy_g": {"max": macs / 4e9},
        "frechet_distance_segmenter_noresize_test": {"informational": True},
    }
    return values


def make(
    repo: Path,
    root: Path,
    size: tuple[int, int] = SIZE,
    objective: str = "pix2pix",
    instances: bool = False,
    **teacher: object,
) -> None:
    """Copy this repository's files to `root`, with shrunk parameters and no output of any stage, and commit them.

    teacher: fields of the teacher's section to set beyond that.
    """
    copy_files(repo, root)
    shipped = yaml.safe_load((repo / "params.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump(shrink(shipped, size, objective, instances, **teacher)))
    draw_few(repo, root, shipped["prepare"]["source"])
    commit(root, "start")


def draw_few(repo: Path, root: Path, source: str) -> None:
    """Write `root`/source, the description of this repository's drawn set with IMAGES alone to draw."""
    drawn = yaml.safe_load((repo / source).read_text()) | IMAGES
    (root / source).parent.mkdir(parents=True, exist_ok=True)
    (root / source).write_text(yaml.safe_dump(drawn))
