"""The registered model as MLflow runs it: written as code, never pickled.

MLflow copies this file and what it imports of `understudy` beside the weights, and runs it wherever the model is
loaded.
Input: label maps uint8 [N, H, W], label maps with edges of instances uint8 [N, H, W, 2], or photos uint8 [N, H, W, 3],
as the data set has it. Output: photos uint8 [N, H, W, 3].
"""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from understudy.translator import Translator


class ServedStudent(PythonModel):
    def load_context(self, context: PythonModelContext) -> None:
        files = {name: Path(path) for name, path in context.artifacts.items()}
        self.translator = Translator.load(files["arch"], files["weights"], files["dataset"])

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        return self.translator(model_input)


# The one thing in this project that happens on import: it is how MLflow finds the model in a file of code.
set_model(ServedStudent())
