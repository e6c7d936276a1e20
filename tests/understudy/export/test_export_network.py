"""student.onnx gives what the student gives: every family, norm, encoding and kind of input, any number and size."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from understudy.arch import families as architecture
from understudy.arch.gaugan import gaugan
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.data.prepared import DatasetInfo
from understudy.errors import DATA_FAILED, UserError
from understudy.export.int8 import int8_share, write_int8
from understudy.export.network import EXAMPLE, description, write_onnx
from understudy.export.parity import Parity, compare, require_same
from understudy.export.session import OnnxTranslator
from understudy.translator import Translator

SIZE = (32, 32)
PALETTE = ((255, 0, 0), (0, 255, 0), (10, 20, 255))
INFO = DatasetInfo("tiny", "labels", SIZE, ("a", "b", "c"), PALETTE, None, "CC0", {})
PHOTOS = replace(INFO, kind="unpaired", classes=(), palette=())
EDGED = replace(INFO, edges=True)
INFOS = {"labels": INFO, "edges": EDGED, "photos": PHOTOS}
SHAPES = [EXAMPLE, (1, 32, 32), (3, 64, 48), (2, 37, 21), (1, 1, 5)]  # the last three need padding or another size
WIDE = (1, 64, 150)  # at a stride of 64 the example is as a single pixel to the first block, and this is not
# Without understudy, torch or this repository on the path: what someone who got the file alone would write.
ALONE = """
import sys
import numpy, onnxruntime
from PIL import Image
labels = numpy.asarray(Image.open(sys.argv[2]))[None]
photo, = onnxruntime.InferenceSession(sys.argv[1]).run(None, {"labels": labels})[0]
Image.fromarray(photo).save(sys.argv[3])
assert not {"torch", "understudy"} & set(sys.modules)
"""


def student(family, norm, encoding, padding="reflect", channels=3):
    """An architecture, and a network of it in which norms matter: neither scales nor running statistics are trivial."""
    if family == "unet":
        arch = unet(4, 4, norm, encoding, channels, SIZE)
    elif family == "spade":
        arch = spade(2, 2, encoding, channels, (64, 64))
    elif family == "gaugan":
        arch = gaugan(1, encoding, channels, (64, 64))
    elif family == "resnet":
        arch = resnet(4, 3, norm, padding, encoding, channels, SIZE)
    else:
        arch = inception(4, 3, 4, norm, padding, encoding, channels, SIZE)
    torch.manual_seed(0)
    net = architecture.build(arch).eval()
    for name, tensor in net.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
        if name == "image.conv.weight":
            tensor.mul_(4)  # an untrained image is all but grey
    return arch, net


def maps(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 3, shape, dtype=np.uint8)


def inputs(info, shape, seed=0):
    """What a data set translates: label maps [N, H, W], with edges [N, H, W, 2], or photos [N, H, W, 3]."""
    if info.edges:
        return np.stack([maps(shape, seed), maps(shape, seed + 1) // 2], axis=-1)
    if info.kind == "labels":
        return maps(shape, seed)
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=[
    *((family, norm, encoding, "labels")
      for family in ("inception", "resnet", "unet")
      for norm, encoding in (("batch", "onehot"), ("instance", "rgb"), ("instance_affine", "onehot"))),
    *((family, norm, "rgb", "photos")
      for family, norm in (("inception", "instance_affine"), ("resnet", "instance"), ("unet", "batch"))),
    ("spade", "batch", "rgb", "labels"), ("spade", "batch", "onehot", "edges"), ("gaugan", "batch", "onehot", "labels"),
    ("resnet", "instance", "rgb", "edges"),
    # torch's exporter takes most of a minute for each of these.
    *(pytest.param((family, "batch", encoding, "labels"), marks=pytest.mark.long)
      for family, encoding in (("spade", "onehot"), ("gaugan", "rgb"))),
], ids="-".join)  # fmt: skip
def exported(request, tmp_path_factory):
    """Description of the data set, architecture, network and its file."""
    *family, kind = request.param
    info = INFOS[kind]
    arch, net = student(*family, channels=info.input_channels(family[2]))
    path = tmp_path_factory.mktemp("exported") / "student.onnx"
    write_onnx(net, arch, info, "0" * 64, path)
    return info, arch, net, path


@pytest.mark.slow
def test_the_file_gives_the_students_photos_at_any_size(exported):
    info, arch, net, path = exported
    own, file = Translator(net, arch.encoding, info), OnnxTranslator(path, 1)
    for shape in (*SHAPES, WIDE):
        given = inputs(info, shape)
        parity = compare(file(given), own(given))
        require_same(parity, path)
        assert parity.share < 0.01


@pytest.mark.slow
def test_the_file_says_what_it_takes(exported):
    info, _, _, path = exported
    model = onnx.load(path)
    (given,) = model.graph.input
    sizes = [dimension.dim_param or dimension.dim_value for dimension in given.type.tensor_type.shape.dim]
    name = "inputs" if info.kind != "labels" else "labels_edges" if info.edges else "labels"
    assert (given.name, sizes) == (name, ["N", "H", "W", *info.planes])
    assert ("classes" in description(model)) == ("palette" in description(model)) == (info.kind == "labels")


@pytest.mark.slow
def test_int8_is_close_and_says_what_of_it_is_int8(exported, tmp_path):
    info, arch, net, path = exported
    write_int8(path, inputs(info, (8, *SIZE)), tmp_path / "int8.onnx")
    given = inputs(info, (4, *SIZE), seed=1)
    parity = compare(OnnxTranslator(tmp_path / "int8.onnx", 1)(given), Translator(net, arch.encoding, info)(given))
    assert parity.most > 0 and parity.mean < 5
    share, convolutions = int8_share(tmp_path / "int8.onnx", arch), list(arch.convolutions())
    assert share.total == len(convolutions)
    assert share.convolutions == sum(not layer.transposed for layer in convolutions)
    small = sum(layer.macs_true for layer in convolutions if not layer.transposed)
    assert share.macs == pytest.approx(small / sum(layer.macs_true for layer in convolutions))
    assert int8_share(path, arch).convolutions == 0
    assert description(onnx.load(tmp_path / "int8.onnx"))["calibration_images"] == "8"


@pytest.mark.slow
def test_the_same_student_gives_the_same_bytes_and_names_itself(tmp_path):
    arch, net = student("resnet", "batch", "onehot")
    paths = [tmp_path / name for name in ("first.onnx", "second.onnx")]
    for path in paths:
        write_onnx(net, arch, INFO, "0" * 64, path)
        write_int8(path, maps((4, *SIZE)), path.with_suffix(".int8"))
    for suffix in (".onnx", ".int8"):
        first, second = (path.with_suffix(suffix).read_bytes() for path in paths)
        assert first == second
        assert b".py" not in first and str(tmp_path).encode() not in first
    described = description(onnx.load(paths[0]))
    assert (
        described["family"] == "resnet" and described["dataset"] == "tiny" and described["weights_sha256"] == "0" * 64
    )
    assert described["classes"] == '["a", "b", "c"]' and described["torch"]


@pytest.mark.slow
def test_another_program_needs_the_file_alone(tmp_path):
    from PIL import Image

    arch, net = student("inception", "batch", "rgb", "zero")
    write_onnx(net, arch, INFO, "0" * 64, tmp_path / "student.onnx")
    labels = maps((1, 30, 41))
    Image.fromarray(labels[0]).save(tmp_path / "label.png")
    command = [sys.executable, "-c", ALONE, "student.onnx", "label.png", "photo.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    photo = np.asarray(Image.open(tmp_path / "photo.png"))[None]
    require_same(compare(photo, Translator(net, "rgb", INFO)(labels)), "student.onnx")


def test_a_file_of_another_student_is_refused():
    same = np.zeros((1, 4, 4, 3), np.uint8)
    require_same(compare(same, same), "student.onnx")
    assert compare(same, same) == Parity(0, 0.0, 0.0)
    with pytest.raises(UserError, match=r"student\.onnx: is not the student: .*up to 3 of 255 levels") as far:
        require_same(compare(same + np.uint8(3), same), "student.onnx")
    assert far.value.code == DATA_FAILED
    with pytest.raises(UserError, match="1 on average"):  # a level everywhere is more than rounding
        require_same(compare(same + np.uint8(1), same), "student.onnx")
    with pytest.raises(UserError, match=r"gives uint8 \(1, 4, 4, 3\), the student \(1, 8, 4, 3\)"):
        compare(same, np.zeros((1, 8, 4, 3), np.uint8))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "student.onnx").write_bytes(b"half a fi")
    with pytest.raises(UserError, match=r"student\.onnx: cannot be loaded by ONNX Runtime .*dvc repro export"):
        OnnxTranslator(tmp_path / "student.onnx", 1)
