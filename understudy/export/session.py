"""An exported file, run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime

from understudy.errors import UserError

BATCH = 16  # images translated at once: a matter of memory alone
ERRORS_ONLY = 3  # of ONNX Runtime's log levels


class OnnxTranslator:
    """Label maps uint8 [N, H, W] or photos uint8 [N, H, W, 3], as the file has it -> photos uint8 [N, H, W, 3].

    Raises UserError naming a file that cannot be loaded.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # waiting threads leave torch the cores
        options.log_severity_level = ERRORS_ONLY
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception of its own for every way of failing
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: cannot be loaded by ONNX Runtime ({reason}); run `dvc repro export`") from error

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        (name,) = (found.name for found in self.session.get_inputs())
        parts = [inputs[first : first + BATCH] for first in range(0, len(inputs), BATCH)]
        return np.concatenate([self.session.run(None, {name: part})[0] for part in parts])
