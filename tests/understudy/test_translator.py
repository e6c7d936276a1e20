from dataclasses import replace

import numpy as np
import pytest
import torch

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.arch.unet import unet
from understudy.data.edges import with_edges
from understudy.data.prepared import DatasetInfo, encode_inputs, to_bytes
from understudy.errors import UserError
from understudy.files import write_json
from understudy.tensors import save_weights
from understudy.translator import Translator

PHOTOS = DatasetInfo("horses", "unpaired", (24, 20), (), (), None, "CC0", {})
INFO = DatasetInfo("test", "labels", (24, 20), ("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (255, 0, 0)), None, "CC0", {})


def network(encoding="onehot"):
    torch.manual_seed(0)
    arch = inception(4, 3, 4, "instance_affine", "reflect", encoding, 3, (24, 20))
    return arch, architecture.build(arch).eval()


def labels(*shape):
    return np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)


def photos(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("encoding", ["onehot", "rgb"])
def test_gives_the_pixels_of_the_network(encoding):
    _, net = network(encoding)
    given = labels(17, 24, 20)  # more than one batch
    with torch.no_grad():
        expected = to_bytes(net(encode_inputs(torch.from_numpy(given), encoding, INFO)))  # [N, 3, H, W]
    made = Translator(net, encoding, INFO)(given)
    assert made.dtype == np.uint8
    # The two batch differently, which may round an exact half the other way.
    assert np.abs(made.astype(int) - expected.permute(0, 2, 3, 1).numpy()).max() <= 1


def test_photos_enter_in_the_range_of_the_training():
    _, net = network("rgb")
    given = photos(3, 24, 20)
    with torch.no_grad():
        images = net(torch.from_numpy(given).permute(0, 3, 1, 2) / 127.5 - 1)  # [N, H, W, 3] -> [N, 3, H, W]
    expected = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(Translator(net, "rgb", PHOTOS)(given), expected)


@pytest.mark.parametrize("size", [(1, 1), (24, 20), (25, 18), (37, 64)])
@pytest.mark.parametrize(("draw", "info"), [(labels, INFO), (photos, PHOTOS)], ids=["labels", "photos"])
def test_takes_any_size_and_repeats_edges_to_fit(draw, info, size):
    translator = Translator(network("rgb")[1], "rgb", info)
    given = draw(2, *size)
    made = translator(given)
    assert made.shape == (2, *size, 3)
    height, width = (max(16, -(-side // 4) * 4) for side in size)
    padding = ((0, 0), (0, height - size[0]), (0, width - size[1]), (0, 0))
    padded = np.pad(given, padding[: given.ndim], mode="edge")
    np.testing.assert_array_equal(made, translator(padded)[:, : size[0], : size[1]])


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


EDGED = replace(INFO, edges=True)


def edged(*shape):
    """Label maps with the edges of their own regions."""
    return np.stack([with_edges(one, one) for one in labels(*shape)])


def edged_network(encoding="onehot"):
    torch.manual_seed(0)
    return architecture.build(inception(4, 3, 4, "instance_affine", "reflect", encoding, 4, (24, 20))).eval()


@pytest.mark.parametrize("encoding", ["onehot", "rgb"])
def test_label_maps_enter_with_their_edges(encoding):
    net, given = edged_network(encoding), edged(3, 24, 20)
    inputs = torch.from_numpy(given).permute(0, 3, 1, 2)  # [N, H, W, 2] -> [N, 2, H, W]
    with torch.no_grad():
        expected = to_bytes(net(encode_inputs(inputs, encoding, EDGED))).permute(0, 2, 3, 1)
    translator = Translator(net, encoding, EDGED)
    np.testing.assert_array_equal(translator(given), expected)
    blind = given.copy()
    blind[..., 1] = 0
    assert (translator(blind) != translator(given)).any()
    small = edged(2, 25, 18)
    padded = np.pad(small, ((0, 0), (0, 3), (0, 2), (0, 0)), mode="edge")
    np.testing.assert_array_equal(translator(small), translator(padded)[:, :25, :18])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (labels(1, 24, 20), r"test translates label maps with edges: expected uint8 of shape \(N, H, W, 2\)"),
        (photos(1, 24, 20), r"found uint8 of shape \(1, 24, 20, 3\)"),
        (edged(1, 24, 20) + np.array([1, 0], np.uint8), "class 3 is unknown"),
        (edged(1, 24, 20) * np.array([1, 255], np.uint8), "edges: expected 0 and 1, found 255"),
    ],
)
def test_refuses_what_has_no_edges(given, named):
    with pytest.raises(UserError, match=named):
        Translator(edged_network(), "onehot", EDGED)(given)


@pytest.mark.parametrize("given", [labels(1, 24, 20), photos(24, 20), photos(0, 24, 20), photos(1, 24, 20)[..., :2]])
def test_refuses_what_is_no_photo(given):
    translator = Translator(network("rgb")[1], "rgb", PHOTOS)
    with pytest.raises(
        UserError, match=r"horses translates photos: expected uint8 of shape \(N, H, W, 3\), found uint8"
    ):
        translator(given)
    with pytest.raises(UserError, match="float32"):
        translator(photos(1, 24, 20).astype(np.float32))


def test_refuses_photos_where_label_maps_are_translated():
    with pytest.raises(UserError, match=r"test translates label maps: .*found uint8 of shape \(1, 24, 20, 3\)"):
        Translator(network()[1], "onehot", INFO)(photos(1, 24, 20))


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
