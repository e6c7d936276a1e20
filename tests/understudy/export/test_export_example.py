"""example.py, where neither this project nor torch can be imported: the photo that `understudy translate` writes."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from understudy.arch import families as architecture
from understudy.arch.resnet import resnet
from understudy.bundle import EXAMPLE
from understudy.data.prepared import DatasetInfo
from understudy.errors import OK
from understudy.export import record
from understudy.export.network import write_onnx
from understudy.export.parity import compare, require_same
from understudy.files import write_json
from understudy.translate import Translate, translate_files
from understudy.translator import Translator

REPO = Path(__file__).parents[3]
SIZE = (32, 32)
PALETTE = ((255, 0, 0), (0, 255, 0), (10, 20, 255))
LABELS = np.random.default_rng(0).integers(0, 3, (37, 21), dtype=np.uint8)
# What `pip install onnxruntime pillow` brings, and Python's own; all else is as if it were not installed.
ALONE = """
import importlib.abc, runpy, sys
allowed = {"onnxruntime", "PIL", "numpy", "flatbuffers", "google", "packaging", *sys.stdlib_module_names}

class Alone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Alone())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def described(folder: Path, kind: str) -> DatasetInfo:
    """A folder with the example and dataset.json, of label maps (`labels`), with `edges`, or of `photos`."""
    labels = kind != "photos"
    info = DatasetInfo("tiny", "labels" if labels else "unpaired", SIZE, ("a", "b", "c") if labels else (),
                       PALETTE if labels else (), None, "CC0", {}, edges=kind == "edges")  # fmt: skip
    folder.mkdir()
    write_json(folder / "dataset.json", {"schema": 2, **vars(info)})
    shutil.copy(Path(record.__file__).parent / EXAMPLE, folder)
    return info


def student(info: DatasetInfo, path: Path) -> Translate:
    """A tiny one, whose ONNX file is written to `path`."""
    arch = resnet(4, 3, "instance_affine", "reflect", "onehot", 3, SIZE)
    torch.manual_seed(0)
    net = architecture.build(arch).eval()
    with torch.no_grad():
        weights = [tensor for name, tensor in net.state_dict().items() if name.endswith("weight")]
        weights[-1].mul_(4)  # an untrained image is all but grey
    write_onnx(net, arch, info, "0" * 64, path)
    return Translator(net, arch.encoding, info)


def mirror(info: DatasetInfo, path: Path) -> Translate:
    """Shows its input, three planes of it, so that it is seen to the last bit; an ONNX file of that is at `path`."""
    planes = info.planes[0]
    shown = [0, 1, planes - 1]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["given", "shown"], ["photos"], axis=3)], "mirror",
        [value("given", onnx.TensorProto.UINT8, ["N", "H", "W", planes])],
        [value("photos", onnx.TensorProto.UINT8, ["N", "H", "W", 3])],
        [onnx.helper.make_tensor("shown", onnx.TensorProto.INT64, [3], shown)],
    )  # fmt: skip
    opsets = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return lambda inputs: inputs[..., shown]


def run(folder: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ALONE, str(folder / EXAMPLE), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def inputs(folder: Path, kind: str) -> list[Path]:
    """The same picture in the ways in which it comes."""
    folder.mkdir()
    if kind == "photos":
        colours = np.random.default_rng(1).integers(0, 256, (37, 21, 4), dtype=np.uint8)
        upside_down = Image.Exif()
        upside_down[0x0112] = 3
        Image.fromarray(colours[..., :3]).save(folder / "rgb.png", exif=upside_down)
        Image.fromarray(colours).save(folder / "transparent.png")
        Image.fromarray(colours[..., 0].astype(np.uint16) * 257).save(folder / "grey16.png")
    else:
        Image.fromarray(LABELS).save(folder / "grey.png")
        Image.fromarray(np.array(PALETTE, np.uint8)[LABELS]).save(folder / "rgb.png")
    return sorted(folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "network"), [("labels", student), ("edges", mirror), ("photos", mirror)])
def test_the_example_gives_the_photos_that_translate_gives(
    kind: str, network: Callable[[DatasetInfo, Path], Translate], tmp_path: Path
) -> None:
    info = described(tmp_path / "bundle", kind)
    translate = network(info, tmp_path / "bundle" / "student.onnx")
    given = inputs(tmp_path / "given", kind)
    instances = tmp_path / "instances" if kind == "edges" else None
    if instances is not None:
        instances.mkdir()
        for path in given:
            Image.fromarray(np.kron(np.arange(6).reshape(2, 3), np.ones((20, 7))).astype(np.uint16)[:37]).save(
                instances / path.name
            )
    own = list(translate_files(given, tmp_path / "own", info, translate, instances))
    for path, photo in zip(given, own, strict=True):
        extra = [instances / path.name] if instances is not None else []
        done = run(tmp_path / "bundle", path, tmp_path / "photo.png", *extra)
        assert done.returncode == OK, done.stderr
        found, expected = (np.asarray(Image.open(one))[None] for one in (tmp_path / "photo.png", photo))
        require_same(compare(found, expected), path)
        assert len(np.unique(expected)) > 2 and (network is student or np.array_equal(found, expected))


@pytest.mark.slow
def test_the_example_refuses_what_is_no_input(tmp_path: Path) -> None:
    described(tmp_path / "bundle", "labels")
    Image.fromarray(LABELS + 1).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 4, 3), 77, np.uint8)).save(tmp_path / "rgb.png")
    for arguments, said in (
        ([tmp_path / "grey.png", tmp_path / "photo.png"], "classes are 0 to 2, found 1 to 3"),
        ([tmp_path / "rgb.png", tmp_path / "photo.png"], "has colours that are not in the palette of dataset.json"),
        ([tmp_path / "grey.png"], "python example.py INPUT OUTPUT"),
    ):
        done = run(tmp_path / "bundle", *arguments)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "photo.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "understudy", "safetensors"])
def test_the_blocked_modules_are_blocked(name: str) -> None:
    code = ALONE.replace('runpy.run_path(sys.argv[0], run_name="__main__")', f"import {name}")
    done = subprocess.run([sys.executable, "-c", code, EXAMPLE], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 1 and f"ModuleNotFoundError: {name}" in done.stderr
