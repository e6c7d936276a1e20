"""Label maps or photos in, photos out, at any size: the one way in which a finished generator is used.

The command `translate` and the registered model both go through here, so that they give the same pixels.
"""

from pathlib import Path

import numpy as np
import torch

from understudy.arch.base import SMALLEST
from understudy.data.prepared import DatasetInfo, Encoding, encode_inputs, load_info, to_bytes
from understudy.errors import UserError
from understudy.models.generator import Generator
from understudy.weights import load_generator

BATCH = 16  # images translated at once: a matter of memory alone


class Translator:
    """A generator with what it takes to feed it: `Translator.load(arch.json, weights.safetensors, dataset.json)`.

    Computes in fp32, in eval mode, on the CPU: these students are small enough for it.
    """

    def __init__(self, net: Generator, encoding: Encoding, info: DatasetInfo) -> None:
        self.net = net.eval()
        self.encoding, self.info = encoding, info

    @classmethod
    def load(cls, arch: Path, weights: Path, info: Path) -> "Translator":
        """Read a stored generator. Raises UserError naming the file that is missing, damaged, or does not fit."""
        loaded, net = load_generator(arch, weights)
        description = load_info(info)
        description.require_fit(loaded.input_channels, loaded.encoding, arch)
        return cls(net, loaded.encoding, description)

    @torch.inference_mode()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Translate label maps, or photos, as the kind of the data set has it.

        inputs: uint8 [N, H, W], class indices below the data set's number of classes; uint8 [N, H, W, 2], class indices
        and edges of instances (0 or 1: understudy/data/edges.py), where the data set has these; or photos uint8
        [N, H, W, 3]. Any H and W from 1 pixel up. Returns photos uint8 [N, H, W, 3]. A size that the network does not
        take is met by repeating the lower and the right edge, and cutting that off again. Raises UserError on another
        shape or type, or an unknown class.
        """
        self._check(inputs)
        height, width = inputs.shape[1:3]
        padding = [(0, 0), (0, self._fitting(height) - height), (0, self._fitting(width) - width)]
        padding += [(0, 0)] * (inputs.ndim - 3)
        padded = torch.from_numpy(np.pad(inputs, padding, mode="edge"))  # [N, H, W, ...] -> [N, H', W', ...]
        photos = [self._translate(part) for part in padded.split(BATCH)]  # each [n, 3, H', W']
        # [N, 3, H', W'] -> [N, H, W, 3]
        return np.ascontiguousarray(torch.cat(photos)[:, :, :height, :width].permute(0, 2, 3, 1).numpy())

    def _translate(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dim() == 4:
            inputs = inputs.permute(0, 3, 1, 2)  # [n, H', W', C] -> [n, C, H', W']
        return to_bytes(self.net(encode_inputs(inputs, self.encoding, self.info)))  # -> [n, C, H', W'] -> [n, 3, ...]

    def _check(self, inputs: np.ndarray) -> None:
        info, planes = self.info, self.info.planes
        if inputs.dtype != np.uint8 or inputs.ndim < 3 or inputs.shape[3:] != planes or 0 in inputs.shape:
            what = "photos" if info.kind != "labels" else "label maps with edges" if info.edges else "label maps"
            shape = ", ".join(("N", "H", "W", *map(str, planes)))
            raise UserError(
                f"{info.name} translates {what}: expected uint8 of shape ({shape}), "
                f"found {inputs.dtype} of shape {inputs.shape}"
            )
        if info.kind != "labels":
            return
        classes = inputs[..., 0] if info.edges else inputs
        if (largest := int(classes.max())) >= info.num_classes:
            raise UserError(f"label maps: class {largest} is unknown; {info.name} has {info.num_classes} classes")
        if info.edges and (largest := int(inputs[..., 1].max())) > 1:
            raise UserError(f"edges: expected 0 and 1, found {largest}")

    def _fitting(self, side: int) -> int:
        """The smallest side from `side` up that the network takes."""
        return max(SMALLEST, -(-side // self.net.stride) * self.net.stride)
