"""A stored network, ready to translate: its exported file by ONNX Runtime, or its weights by torch."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np

from understudy.arch import families as architecture
from understudy.arch.base import SMALLEST
from understudy.data.prepared import DatasetInfo, load_info
from understudy.errors import UserError
from understudy.files import sha256
from understudy.serve.uploads import Inputs
from understudy.stripes import stripes

Runtime = Literal["onnx", "int8", "torch"]
RUNTIMES: tuple[Runtime, ...] = ("onnx", "int8", "torch")
WEIGHTS = "weights_sha256"  # in an exported file's metadata


@dataclass(frozen=True)
class Network:
    """translate: uint8 [N, H, W, ...], as `info` has its inputs -> uint8 [N, H, W, 3], of any size.

    runtime: what computes. threads: that one operation may use. note: why it is not ONNX Runtime, or empty.
    """

    info: DatasetInfo
    stride: int
    translate: Callable[[Inputs], Inputs]
    runtime: Runtime
    threads: int
    note: str

    def fitting(self, side: int) -> int:
        """The side in pixels that the network pads a side to."""
        return max(SMALLEST, -(-side // self.stride) * self.stride)

    def inputs(self, count: int) -> Inputs:
        """Inputs of the size that it was trained at, to try it with."""
        return stripes(self.info.size, self.info.num_classes, self.info.edges, count)

    @property
    def by(self) -> str:
        """What computes, in words."""
        package = "torch" if self.runtime == "torch" else "onnxruntime"
        name = {"torch": "torch", "onnx": "ONNX Runtime", "int8": "ONNX Runtime (int8)"}[self.runtime]
        return f"{name} {version(package)}, {self.threads} thread{'s'[: self.threads != 1]}"


def open_network(files: Mapping[str, Path], wanted: Runtime | None, threads: int) -> Network:
    """The network in `files` (arch, weights, dataset; maybe onnx, int8), once it has translated something.

    wanted: None takes the file in fp32, and torch where there is none. Raises UserError when a file is damaged or is
    not of these weights, or when what is wanted is not there.
    """
    arch, info = architecture.load(files["arch"]), load_info(files["dataset"])
    info.require_fit(arch.input_channels, arch.encoding, files["arch"])
    runtime, note = _choose(files, wanted)
    if runtime == "torch":
        from understudy.runtime import threads as torch_threads
        from understudy.translator import Translator

        threads = torch_threads()
        translate: Callable[[Inputs], Inputs] = Translator.load(files["arch"], files["weights"], files["dataset"])
    else:
        translate = _exported(files[runtime], sha256(files["weights"]), threads)
    network = Network(info, arch.stride, translate, runtime, threads, note)
    _require_working(network, files["weights" if runtime == "torch" else runtime])
    return network


def _choose(files: Mapping[str, Path], wanted: Runtime | None) -> tuple[Runtime, str]:
    """What is to compute, and why it is not the exported file in fp32."""
    absent = "" if _installed() else "onnxruntime is not installed here (`pip install understudy[export]`)"
    if wanted == "torch":
        return "torch", "asked for"
    if wanted and (why := absent or ("" if wanted in files else f"there is no {wanted} file with it")):
        raise UserError(f"--runtime {wanted}: {why}; --runtime torch needs none")
    if wanted:
        return wanted, "" if wanted == "onnx" else "asked for"
    if why := absent or ("" if "onnx" in files else "it comes without an ONNX file (export.formats)"):
        return "torch", why
    return "onnx", ""


def _installed() -> bool:
    try:
        version("onnxruntime")
    except PackageNotFoundError:
        return False
    return True


def _exported(path: Path, weights_sha256: str, threads: int) -> Callable[[Inputs], Inputs]:
    from understudy.onnx_session import open_session

    session = open_session(path.read_bytes(), threads, str(path))  # the file may go
    made_of = session.get_modelmeta().custom_metadata_map.get(WEIGHTS)
    if made_of != weights_sha256:
        raise UserError(f"{path}: was made of other weights ({str(made_of)[:12]}…) than those beside it "
                        f"({weights_sha256[:12]}…); `dvc repro export` makes it anew")  # fmt: skip
    (name,) = (found.name for found in session.get_inputs())

    def translate(inputs: Inputs) -> Inputs:
        return session.run(None, {name: inputs})[0]

    return translate


def _require_working(network: Network, path: Path) -> None:
    """One image and two, so that the first requests do not pay for what is set up on the first run."""
    for count in (1, 2):
        try:
            photos = network.translate(network.inputs(count))
        except Exception as error:  # of whatever kind: it would fail for every request too
            raise UserError(f"{path}: does not run: {error}") from error
        if photos.shape != (count, *network.info.size, 3) or photos.dtype != np.uint8:
            raise UserError(f"{path}: gives {photos.dtype} {photos.shape}, not photos of its inputs' size")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
