"""An ONNX file, opened by ONNX Runtime on the CPU. Imported only where a file is at hand: ONNX is an extra."""

from pathlib import Path

import onnxruntime

from understudy.errors import UserError, in_one_line

ERRORS_ONLY = 3  # of ONNX Runtime's log levels
# Tensors may lie in other files, looked for in the working directory, whose content no hash has checked. Not here.
NOWHERE = "/nonexistent"


def open_session(model: Path | bytes, threads: int, where: str) -> onnxruntime.InferenceSession:
    """model: a file or its content. where: its name, for the UserError when it cannot be loaded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave torch the cores
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception of its own for every way of failing
        raise UserError(f"{where}: cannot be loaded by ONNX Runtime ({in_one_line(error)})") from error
