import numpy as np
import pytest
import torch

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.arch.unet import unet
from understudy.data.prepared import DatasetInfo, encode_inputs, to_bytes
from understudy.errors import UserError
from understudy.files import write_json
from understudy.tensors import save_weights
from understudy.translator import Translator

INFO = DatasetInfo("test", "labels", (24, 20), ("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (255, 0, 0)), None, "CC0", {})


def network(encoding="onehot"):
    torch.manual_seed(0)
    arch = inception(4, 3, 4, "instance_affine", "reflect", encoding, 3, (24, 20))
    return arch, architecture.build(arch).eval()


def labels(*shape):
    return np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)


@pytest.mark.parametrize("encoding", ["onehot", "rgb"])
def test_gives_the_pixels_of_the_network(encoding):
    _, net = network(encoding)
    given = labels(17, 24, 20)  # more than one batch
    with torch.no_grad():
        expected = to_bytes(net(encode_inputs(torch.from_numpy(given), encoding, INFO)))  # [N, 3, H, W]
    photos = Translator(net, encoding, INFO)(given)
    assert photos.dtype == np.uint8
    # The two batch differently, which may round an exact half the other way.
    assert np.abs(photos.astype(int) - expected.permute(0, 2, 3, 1).numpy()).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (24, 20), (25, 18), (37, 64)])
def test_takes_any_size_and_repeats_edges_to_fit(size):
    translator = Translator(network()[1], "onehot", INFO)
    given = labels(2, *size)
    photos = translator(given)
    assert photos.shape == (2, *size, 3)
    height, width = (max(16, -(-side // 4) * 4) for side in size)
    padded = np.pad(given, ((0, 0), (0, height - size[0]), (0, width - size[1])), mode="edge")
    np.testing.assert_array_equal(photos, translator(padded)[:, : size[0], : size[1]])


def test_pads_to_what_a_unet_takes():
    net = architecture.build(unet(2, 5, "instance", "onehot", 3, (32, 32))).eval()
    given = labels(1, 33, 20)
    translator = Translator(net, "onehot", INFO)
    padded = np.pad(given, ((0, 0), (0, 31), (0, 12)), mode="edge")
    np.testing.assert_array_equal(translator(given), translator(padded)[:, :33, :20])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (labels(24, 20), "shape"),
        (labels(1, 24, 20).astype(np.int64), "int64"),
        (labels(0, 24, 20), "shape"),
        (labels(1, 24, 20) + np.uint8(1), "class 3 is unknown"),
    ],
)
def test_refuses_what_is_no_label_map(given, named):
    with pytest.raises(UserError, match=named):
        Translator(network()[1], "onehot", INFO)(given)


def test_refuses_files_of_different_runs(tmp_path):
    arch, net = network()
    architecture.save(arch, tmp_path / "arch.json")
    save_weights(net, tmp_path / "weights.safetensors")
    description = {"schema": 2, "name": "x", "kind": "labels",
        "size": [24, 20], "classes": ["a", "b", "c"], "palette": INFO.palette,
                   "ignore": None, "licence": "CC0", "counts": {}}  # fmt: skip
    files = (tmp_path / "arch.json", tmp_path / "weights.safetensors", tmp_path / "dataset.json")
    write_json(files[2], description)
    assert Translator.load(*files)(labels(1, 24, 20)).shape == (1, 24, 20, 3)
    write_json(files[2], {**description, "classes": ["a", "b"], "palette": INFO.palette[:2]})
    with pytest.raises(UserError, match="takes 3 input channels"):
        Translator.load(*files)
