"""An exported file, run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np

from understudy.errors import UserError
from understudy.onnx_session import open_session

BATCH = 16  # images translated at once: a matter of memory alone


class OnnxTranslator:
    """Label maps uint8 [N, H, W], with edges [N, H, W, 2], or photos uint8 [N, H, W, 3], as the file has it -> photos
    uint8 [N, H, W, 3].

    Raises UserError naming a file that cannot be loaded.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            self.session = open_session(path, threads, str(path))
        except UserError as error:
            raise UserError(f"{error}; run `dvc repro export`") from error

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        (name,) = (found.name for found in self.session.get_inputs())
        parts = [inputs[first : first + BATCH] for first in range(0, len(inputs), BATCH)]
        return np.concatenate([self.session.run(None, {name: part})[0] for part in parts])
