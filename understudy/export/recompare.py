"""Exported files compared anew with the student that they are said to be, on some images of the test split at hand.

These files are what is served and published, while a student is measured by its weights.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.prepared import load_info, load_split
from understudy.errors import UserError
from understudy.export.parity import Parity, compare, require_same
from understudy.export.session import OnnxTranslator
from understudy.gate import DATASET, TEST_SPLIT
from understudy.remeasure import Files
from understudy.runtime import threads
from understudy.translator import Translator

IMAGES = 16
# An int8 file rounds as the processor does. So much further from the student than it was recorded it may be on average:
# a factor, and levels of 255.
INT8_FACTOR, INT8_LEVELS = 2.0, 1.0


def unlike(root: Path, student: Files, files: Mapping[str, Path], record: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with exported files, each in a sentence. files: by format. record: export.json as read."""
    inputs = load_split(root / TEST_SPLIT, load_info(root / DATASET)).inputs[:IMAGES]
    given = (inputs if inputs.dim() == 3 else inputs.permute(0, 2, 3, 1)).contiguous().numpy()  # [N, H, W, ...]
    own = Translator.load(student.arch, student.weights, student.dataset)(given)
    for name, path in files.items():
        try:
            found = compare(_translated(path, given), own)
            if name == "onnx":
                require_same(found, path.name)
            elif said := _too_far(found, record.get("parity", {}).get(name, {}).get("mean")):
                yield f"{path.name}: is not the student: {said}"
        except UserError as error:
            yield str(error)


def _translated(path: Path, inputs: np.ndarray) -> np.ndarray:
    """Photos uint8 [N, H, W, 3]. Raises UserError for a file that takes or gives something else."""
    translator = OnnxTranslator(path, threads())
    try:
        return translator(inputs)
    except Exception as error:  # ONNX Runtime has an exception of its own for every way of failing
        raise UserError(f"{path.name}: does not take the student's inputs ({type(error).__name__})") from error


def _too_far(found: Parity, recorded: Any) -> str | None:
    if not isinstance(recorded, int | float):
        return "export.json does not say how far from it it was"
    if found.mean > INT8_FACTOR * recorded + INT8_LEVELS:
        return f"its photos differ by {found.mean:.3g} of 255 levels on average, by {recorded:.3g} when it was exported"
    return None
