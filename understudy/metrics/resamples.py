"""Every model's values on the bootstrap's resamples as a file, so that another model can be compared with it later.

Whoever scores that model with the same seed, number of resamples and test images draws the same resamples.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from understudy.errors import UserError
from understudy.files import atomic
from understudy.metrics.score import Estimate


def save_resamples(scores: Mapping[str, Mapping[str, Estimate]], path: Path) -> None:
    """Write each estimate's float64 [R] under the name MODEL/METRIC, atomically."""
    tensors = {
        f"{model}/{metric}": estimate.resampled.double().contiguous()
        for model, estimates in scores.items()
        for metric, estimate in estimates.items()
    }
    with atomic(path) as temporary:
        save_file(tensors, temporary)


def load_estimates(models: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> dict[str, dict[str, Estimate]]:
    """The estimates of the models whose resamples `path` holds.

    models: as in evaluation.json, metrics by model. Raises UserError when the file is missing, damaged, or of another
    evaluation.
    """
    found: dict[str, dict[str, Estimate]] = {}
    try:
        for name, resampled in load_file(path).items():
            model, metric = name.split("/")
            entry = models[model][metric]
            found.setdefault(model, {})[metric] = Estimate(
                entry["value"], entry["low"], entry["high"], entry["n"], resampled
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `dvc repro evaluate` makes it") from None
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged, or not of its evaluation ({error!r}); run `dvc repro evaluate`") from error
    return found
