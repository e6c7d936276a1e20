"""A finished student as one ONNX file: label maps or photos in, photos out, with nothing to do before or after.

Where it was trained with the edges of instances they enter with the label map: instance ids are no part of what the
pipeline keeps, and a file is measured on what it keeps.
"""

import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from understudy.arch.base import SMALLEST, Arch
from understudy.data.prepared import DatasetInfo, Encoding, encode_inputs, to_bytes
from understudy.files import atomic
from understudy.models.generator import Generator

# The input's name, by what is translated, and the output's.
LABELS, EDGED, PHOTOS, OUTPUT = "labels", "labels_edges", "inputs", "photos"
OPSET = 20
EXAMPLE = (2, 32, 48)  # N, H and W to trace with: a size of 1, or two alike, would be taken for fixed


class Translation(nn.Module):
    """What understudy/translator.py does with its arrays, as one network: the signature of the registered model."""

    def __init__(self, net: Generator, encoding: Encoding, info: DatasetInfo) -> None:
        super().__init__()
        self.net = net
        self.encoding, self.info = encoding, info

    def translated(self, inputs: Tensor) -> Tensor:
        """uint8 [N, H, W] or [N, C, H, W], any H and W -> uint8 [N, H, W, 3]."""
        height, width = inputs.shape[-2:]
        vertical = inputs.dim() - 2
        padded = inputs.index_select(vertical, self._rows(height)).index_select(vertical + 1, self._rows(width))
        encoded = encode_inputs(padded, self.encoding, self.info)  # [N, ..., H', W'] -> [N, C, H', W']
        # Not net(encoded): its check of the size, which padding makes true, would be a condition on the file's input.
        photos = to_bytes(self.net.translate(encoded, lambda _name, _feature: None))  # [N, 3, H', W']
        return photos[:, :, :height, :width].permute(0, 2, 3, 1)  # [N, H, W, 3]

    def _rows(self, side: int) -> Tensor:
        """Indices of all rows (or columns), the last repeated up to a size that the network takes: int64 [side']."""
        stride = self.net.stride
        fitting = torch.sym_max(SMALLEST, (side + stride - 1) // stride * stride)
        return torch.arange(fitting).clamp(max=side - 1)


class LabelsToPhotos(Translation):
    """uint8 [N, H, W], class indices -> uint8 [N, H, W, 3]. A class that there is not is not refused here."""

    def forward(self, labels: Tensor) -> Tensor:
        return self.translated(labels)


class EdgedLabelsToPhotos(Translation):
    """uint8 [N, H, W, 2], class indices and edges of instances, 0 or 1 -> uint8 [N, H, W, 3]. Nothing is refused."""

    def forward(self, labels_edges: Tensor) -> Tensor:
        return self.translated(labels_edges.permute(0, 3, 1, 2))  # [N, H, W, 2] -> [N, 2, H, W]


class PhotosToPhotos(Translation):
    """uint8 [N, H, W, 3] -> uint8 [N, H, W, 3]."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.translated(inputs.permute(0, 3, 1, 2))  # [N, H, W, 3] -> [N, 3, H, W]


def write_onnx(net: Generator, arch: Arch, info: DatasetInfo, weights_sha256: str, path: Path) -> None:
    """Write the network with its weights, in fp32: the same network gives the same bytes.

    net: on the CPU, in eval mode. weights_sha256: of the file that `net` came from, kept in the metadata.
    """
    dynamic = torch.export.Dim.DYNAMIC
    labels = info.kind == "labels"
    network, name = _translation(info)
    whole = network(net, arch.encoding, info).eval()
    example = torch.zeros(*EXAMPLE, *info.planes, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own code
        program = torch.onnx.export(whole, (example,), dynamo=True, input_names=[name], output_names=[OUTPUT],
                                    dynamic_shapes=(dict.fromkeys(range(3), dynamic),), opset_version=OPSET,
                                    verbose=False)  # fmt: skip
    assert program is not None  # torch's signature is of its older exporter
    described = {
        "family": arch.family,
        "norm": arch.norm,
        "encoding": arch.encoding,
        "trained_at": "x".join(map(str, arch.size)),
        "dataset": info.name,
        **({"classes": json.dumps(info.classes), "palette": json.dumps(info.palette)} if labels else {}),
        "weights_sha256": weights_sha256,
        "torch": version("torch"),
        "onnxscript": version("onnxscript"),
    }
    write_model(program.model_proto, described, path)


def _translation(info: DatasetInfo) -> tuple[type[Translation], str]:
    """What is exported for a data set, and the name of its input."""
    if info.kind != "labels":
        return PhotosToPhotos, PHOTOS
    return (EdgedLabelsToPhotos, EDGED) if info.edges else (LabelsToPhotos, LABELS)


def write_model(model: onnx.ModelProto, described: dict[str, str], path: Path) -> None:
    """Write a model with its description, and without what the tools note of their own files and run."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        del part.metadata_props[:]  # the exporter's: where in which file each node came from
    del graph.value_info[:]  # shapes between the nodes, which a runtime finds by itself: a fifth of a small file
    model.producer_name, model.producer_version = "understudy", ""
    for dimension, name in zip(graph.input[0].type.tensor_type.shape.dim, ("N", "H", "W"), strict=False):
        dimension.dim_param = name  # what comes for each pixel is left
    onnx.helper.set_model_props(model, {**described, "onnx": version("onnx")})
    onnx.checker.check_model(model)
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def description(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata of a model."""
    return {entry.key: entry.value for entry in model.metadata_props}
