from dataclasses import dataclass
from typing import Literal

from understudy.params.loader import require

Format = Literal["onnx", "int8"]


@dataclass(frozen=True)
class Export:
    """formats: of the student's files: `onnx` in fp32, and `int8`, which is made from it. An empty list: none.

    calibration_images: training inputs that the ranges of int8 activations are taken from; all, if there are fewer.
    """

    formats: tuple[Format, ...]
    calibration_images: int

    def __post_init__(self) -> None:
        require(len(set(self.formats)) == len(self.formats), "formats", f"names one twice: {', '.join(self.formats)}")
        require("int8" not in self.formats or "onnx" in self.formats, "formats", "int8 is made from onnx: name both")
        require(self.calibration_images > 0, "calibration_images", f"must be positive, found {self.calibration_images}")
