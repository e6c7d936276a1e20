"""Results as the bake-off's runs leave them, of values that a test chooses."""

from collections.abc import Mapping
from typing import Any

from understudy.metrics.protocol import FRECHET, KID, MIOU

FRECHET_DISTANCE, KERNEL_DISTANCE = FRECHET["labels"], KID["labels"]


def result(
    arm: str,
    seed: int,
    miou: float,
    cpu: float = 100.0,
    starts: int = 1,
    curves: Mapping[str, list[float]] | None = None,
) -> dict[str, Any]:
    """One run's file. The Frechet distance is 1 - mIoU, KID a thousandth of that."""
    scores = {MIOU: miou, FRECHET_DISTANCE: 1 - miou, KERNEL_DISTANCE: (1 - miou) / 1000}
    return {
        "design": "street-scenes",
        "arm": arm,
        "seed": seed,
        "settings": "of a recipe",
        "kind": "labels",
        "metrics": {
            name: {"value": value, "low": value - 0.0196, "high": value + 0.0196} for name, value in scores.items()
        },
        "costs": {"macs_true_g": 0.03, "params_m": 0.05},
        "training": {"steps": 700, "starts": starts, "seconds": 2 * cpu, "cpu_seconds": cpu},
        "curves": {"step": [10, 20, 30, 40], "recon": [9.0, 8.0, 7.0, 6.0], **(curves or {})},
        "lowest": {"alignment": -4.0},
        "origin": {"teacher": "a teacher", "judge": "a judge", "architecture": "one"},
        "date": f"2030-01-0{seed}",
        "hardware": "A processor, 1 thread of it, in fp32",
        "torch": "9.9",
    }


def arm_of(arm: str, *mious: float, **more: Any) -> list[dict[str, Any]]:
    """Results of one arm for seeds 1, 2 and so on."""
    return [result(arm, seed, miou, **more) for seed, miou in enumerate(mious, 1)]
