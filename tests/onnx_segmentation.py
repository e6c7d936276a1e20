"""Small segmentation networks as ONNX files, of which it is known by hand what they say."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from understudy.params.evaluate import Segmentation

CLASSES = ("a", "b", "c")


def write(path: Path, nodes: list, shape: list, output: int = TensorProto.FLOAT, kind: int = TensorProto.FLOAT,
          tensors: list | None = None) -> Path:  # fmt: skip
    """One graph from `photos` of that shape to `out`."""
    graph = helper.make_graph(
        nodes,
        "segmentation",
        [helper.make_tensor_value_info("photos", kind, shape)],
        [helper.make_tensor_value_info("out", output, None)],
        tensors or [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def channels(path: Path, count: int = 3, stride: int = 1, shape: Any = ("N", 3, "H", "W")) -> Path:
    """Scores: the first `count` colour channels (a fourth and further ones are -9), every `stride`-th pixel of them."""
    weight = np.zeros((count, 3, 1, 1), np.float32)
    weight[range(min(count, 3)), range(min(count, 3))] = 1
    bias = np.array([0] * min(count, 3) + [-9] * max(count - 3, 0), np.float32)
    nodes = [helper.make_node("Conv", ["photos", "weight", "bias"], ["out"], strides=[stride, stride])]
    tensors = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
    return write(path, nodes, list(shape), tensors=tensors)


def largest_channel(path: Path, axis: int = 1, keep: int = 0, shape: Any = ("N", 3, "H", "W")) -> Path:
    """Classes, int64: which of the three colours is the strongest."""
    nodes = [helper.make_node("ArgMax", ["photos"], ["out"], axis=axis, keepdims=keep)]
    return write(path, nodes, list(shape), TensorProto.INT64)


def one_operator(path: Path, operator: str) -> Path:
    """out = operator(photos)."""
    return write(path, [helper.make_node(operator, ["photos"], ["out"])], ["N", 3, "H", "W"])


def outside(path: Path) -> Path:
    """`channels`, with its tensors in a file beside it."""
    model = onnx.load(channels(path))
    onnx.save(model, path, save_as_external_data=True, location="tensors.bin", size_threshold=0)
    return path


def asked(path: Path, **changed: Any) -> Segmentation:
    """The parameters that describe `channels`."""
    described: dict[str, Any] = {
        "network": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "layout": "NCHW",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "size": None,
        "output": "out",
        "gives": "scores",
        "classes": CLASSES,
        "originals": None,
    }
    return Segmentation(**described | changed)
