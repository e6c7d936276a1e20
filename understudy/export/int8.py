"""A student's ONNX file with int8 convolutions, their ranges taken from training inputs.

Static quantisation by ONNX Runtime in QDQ format: weights int8 with a scale for each channel, activations uint8 with
one for each tensor. Weights use 7 of their 8 bits: a CPU without VNNI adds the products of two pairs in 16 bits, which
8 bits overflow, and what was measured on one CPU must hold on another. Transposed convolutions stay in fp32, since ONNX
Runtime has no int8 kernel for them, and so does all between convolutions: norms that depend on the image, additions,
tanh.
"""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from understudy.arch.base import Arch
from understudy.export.network import description, write_model

CONVOLUTIONS = ("Conv", "ConvTranspose")


class _Calibration(CalibrationDataReader):
    def __init__(self, name: str, inputs: np.ndarray) -> None:
        self.name = name
        self.batches: Iterator[np.ndarray] = iter(inputs[:, None])  # each [1, H, W, ...]

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def write_int8(source: Path, inputs: np.ndarray, path: Path) -> None:
    """Write the int8 form of `source`, a file by `write_onnx`: the same file and inputs give the same bytes.

    inputs: to calibrate with, uint8 [N, H, W, ...], as the file takes them.
    """
    logging.getLogger().setLevel(logging.ERROR)  # it advises a preparation that the exporter has done already
    model = onnx.load(source)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.onnx"
        quantize_static(
            source,
            made,
            _Calibration(model.graph.input[0].name, inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        described = description(model) | {
            "calibration_images": str(len(inputs)),
            "onnxruntime": version("onnxruntime"),
        }
        write_model(onnx.load(made), described, path)


@dataclass(frozen=True)
class Share:
    """convolutions: in int8, of `total`. macs: share of the multiply-accumulates that they are."""

    convolutions: int
    total: int
    macs: float


def int8_share(path: Path, arch: Arch) -> Share:
    """What of an exported network of `arch` is computed in int8: a convolution whose input and weight are both int8."""
    graph = onnx.load(path).graph
    restored = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    nodes = [node for node in graph.node if node.op_type in CONVOLUTIONS]
    layers = list(arch.convolutions())
    if [node.op_type == "ConvTranspose" for node in nodes] != [layer.transposed for layer in layers]:
        raise ValueError(f"{path}: its convolutions are not those of the architecture, in their order")
    small = [layer for node, layer in zip(nodes, layers, strict=True) if set(node.input[:2]) <= restored]
    total = sum(layer.macs_true for layer in layers)
    return Share(len(small), len(layers), sum(layer.macs_true for layer in small) / total)
