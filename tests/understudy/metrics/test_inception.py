"""Inception as a feature extractor: the reference's own features, from files that can be trusted or are refused."""

import io

import numpy as np
import pytest
import pytorch_fid.inception
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from random_inception import content, pictures, state_dict
from safetensors.torch import save
from torch import nn

from understudy.errors import UserError
from understudy.metrics.inception import DIMS, build_inception, features, load_inception
from understudy.metrics.resize import resize


def saved(value: object, **options: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return load_inception(content()[0], "weights.pth")


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state_dict())
        return pytorch_fid.inception.InceptionV3().eval()


def test_features_are_those_of_the_reference(net, reference):
    photos = pictures(0, 6)
    found = torch.cat(list(features(net, photos, "bilinear299")))
    with torch.no_grad():
        expected = reference(photos / 255)[0].flatten(1)
    assert found.shape == (6, DIMS)
    assert found.std(0).mean() > 0.01  # the photos are told apart
    assert torch.allclose(found, expected, atol=1e-5)


def test_features_do_not_depend_on_the_batch(net, monkeypatch):
    photos = pictures(1, 5)
    whole = torch.cat(list(features(net, photos, "antialias299")))
    monkeypatch.setattr("understudy.metrics.inception.BATCH", 2)
    parts = list(features(net, photos, "antialias299"))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (48, 40), (299, 299), (320, 700)])
def test_antialiased_resize_is_pillows(size):
    photos = pictures(2, 2, size)
    found = resize(photos, "antialias299")
    assert found.shape == (2, 3, 299, 299)
    assert found.min() >= -1 and found.max() <= 1
    for photo, sized in zip(photos, found, strict=True):
        image = photo.permute(1, 2, 0).numpy()  # [3, H, W] -> [H, W, 3]
        channels = [Image.fromarray(image[..., i].astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
                    for i in range(3)]  # fmt: skip
        pillow = np.stack([np.asarray(channel).clip(0, 255) for channel in channels])
        assert np.abs((sized.numpy() + 1) * 128 - pillow).max() < 0.01
        clean = build_resizer("clean")(image).transpose(2, 0, 1)
        assert np.abs((sized.numpy() + 1) * 128 - clean).max() < 0.01


def test_resizes_differ_where_photos_shrink_and_photos_are_bytes():
    photos = torch.randint(0, 256, (1, 3, 600, 600), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    assert (resize(photos, "antialias299") - resize(photos, "bilinear299")).abs().mean() > 0.1
    with pytest.raises(ValueError, match="expected uint8"):
        resize(photos.float(), "bilinear299")


@pytest.mark.parametrize(
    "data",
    [
        lambda: saved(state_dict(), _use_new_zipfile_serialization=False),  # as the published file
        lambda: save(state_dict()),
        lambda: saved(build_inception().state_dict() | state_dict()),
    ],
    ids=["legacy", "safetensors", "with counters"],
)
def test_every_kind_of_file_is_read(data, net):
    photos = pictures(4, 1)
    (found,), (expected,) = (features(any_net, photos, "bilinear299") for any_net in (load_inception(data(), "w"), net))
    assert torch.equal(found, expected)


class Evil:
    def __reduce__(self):
        return print, ("code of the file has run",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: b"", "neither safetensors nor tensors"),
        (lambda: b"<html>not found</html>", "neither safetensors nor tensors"),
        (lambda: content()[0][:-1000], "neither safetensors nor tensors"),
        (lambda: saved({"fc.weight": Evil()}), "neither safetensors nor tensors"),
        (lambda: saved([1, 2]), "holds list, expected tensors by name"),
        (lambda: save({"a": torch.zeros(2)}), r"Conv2d_1a_3x3.conv.weight is missing; \d+ tensors in all"),
        (lambda: save(state_dict() | {"fc.weight": torch.zeros(1000, 2048)}), r"fc.weight is \[1000, 2048\], expected"),
        (lambda: save(state_dict() | {"AuxLogits.fc.bias": torch.zeros(3)}), "AuxLogits.fc.bias is none of the"),
    ],
    ids=["nothing", "a page", "cut off", "code", "a list", "another network", "1000 classes", "more"],
)
def test_other_files_are_refused(data, message, capsys):
    with pytest.raises(UserError, match=rf"weights\.pth: .*{message}"):
        load_inception(data(), "weights.pth")
    assert "code of the file" not in capsys.readouterr().out


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match="training mode"):
        next(features(nn.Flatten().train(), pictures(0, 1), "bilinear299"))
