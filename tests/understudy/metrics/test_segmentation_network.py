"""A user's ONNX network: fed as described, read as described, and refused in one sentence when it is not so."""

import onnx_segmentation as made
import pytest
import torch
from onnx import TensorProto
from torch.nn import functional as F

from understudy.errors import UserError
from understudy.metrics import segmentation_network
from understudy.metrics.segmentation_network import SegmentationNetwork

SIZE = (8, 12)


@pytest.fixture
def photos() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (9, 3, *SIZE), generator=generator, dtype=torch.uint8)


def seen(asked, photos):
    return torch.stack(list(SegmentationNetwork(asked, SIZE).see(photos)))


def test_photos_enter_normalised(tmp_path, photos):
    asked = made.asked(made.channels(tmp_path / "net.onnx"), mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (asked.mean, asked.std))
    assert torch.equal(seen(asked, photos), (photos.float() / 255 - mean) / std)


def test_photos_enter_at_the_size_asked_for(tmp_path, photos):
    asked = made.asked(made.channels(tmp_path / "net.onnx", shape=("N", 3, 16, 6)), size=(16, 6))
    expected = F.interpolate(photos.float() / 255, (16, 6), mode="bilinear", align_corners=False)
    assert torch.allclose(seen(asked, photos), expected, atol=1e-6)


def test_a_file_that_takes_one_photo_at_a_time_and_one_that_takes_some_say_the_same(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(segmentation_network, "PIXELS", 4 * SIZE[0] * SIZE[1] + 1)  # 4, 4 and 1
    one = made.asked(made.channels(tmp_path / "one.onnx", shape=(1, 3, *SIZE)))
    many = made.asked(made.channels(tmp_path / "many.onnx"))
    assert torch.equal(seen(one, photos), seen(many, photos))


@pytest.mark.parametrize(("layout", "axis", "shape"), [("NCHW", 1, ("N", 3, "H", "W")), ("NHWC", 3, ("N", *SIZE, 3))])
@pytest.mark.parametrize("keep", [0, 1])
def test_classes_are_read_in_either_layout(layout, axis, shape, keep, tmp_path, photos):
    path = made.largest_channel(tmp_path / "net.onnx", axis, keep, shape)
    assert torch.equal(seen(made.asked(path, layout=layout, gives="classes"), photos), photos.argmax(1))


def test_scores_are_read_with_the_channels_last(tmp_path, photos):
    path = made.write(tmp_path / "net.onnx", [made.helper.make_node("Neg", ["photos"], ["out"])], ["N", *SIZE, 3])
    assert torch.equal(seen(made.asked(path, layout="NHWC"), photos), -photos.float() / 255)


def refusal(asked) -> str:
    with pytest.raises(UserError) as caught:
        SegmentationNetwork(asked, SIZE)
    assert str(caught.value).startswith("evaluate.segmentation") and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_onnx_is_refused(tmp_path):
    path = made.channels(tmp_path / "net.onnx")
    whole = path.read_bytes()
    for content in (b"", b"a page that says: not found", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "net.onnx: cannot be loaded by ONNX Runtime" in refusal(made.asked(path))
    asked = made.asked(path)
    path.write_bytes(whole)
    assert f"evaluate.segmentation.sha256: {path} has SHA-256" in refusal(asked)
    path.unlink()
    assert f"evaluate.segmentation.network: {path} cannot be read" in refusal(asked)


def test_tensors_in_other_files_are_not_read_since_no_hash_covers_them(tmp_path, monkeypatch):
    path = made.outside(tmp_path / "net.onnx")
    assert (tmp_path / "tensors.bin").exists()
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime would look
    assert "cannot be loaded by ONNX Runtime" in refusal(made.asked(path))


def test_other_inputs_are_refused(tmp_path):
    path = made.channels(tmp_path / "net.onnx", shape=("N", 3, 64, 64))
    assert "is tensor(float) ['N', 3, 64, 64], and photos enter as tensor(float) ['N', 3, 8, 12]" in refusal(
        made.asked(path)
    )
    assert "photos enter as tensor(float) ['N', 8, 12, 3]" in refusal(made.asked(path, layout="NHWC"))
    batched = made.channels(tmp_path / "net.onnx", shape=(7, 3, *SIZE))
    assert "N must be free or 1" in refusal(made.asked(batched))
    nodes = [made.helper.make_node("Cast", ["photos"], ["out"], to=TensorProto.FLOAT)]
    bytes_in = made.write(tmp_path / "net.onnx", nodes, ["N", 3, "H", "W"], kind=TensorProto.UINT8)
    assert "is tensor(uint8)" in refusal(made.asked(bytes_in))


def test_other_outputs_are_refused(tmp_path):
    path = made.channels(tmp_path / "net.onnx", count=4)
    assert "has no output logits; its outputs are out" in refusal(made.asked(path, output="logits"))
    assert "its output out has scores of 4 classes, and evaluate.segmentation.classes names 3" in refusal(
        made.asked(path)
    )
    assert "expected integer classes [1, h, w]" in refusal(made.asked(path, gives="classes"))
    classes = made.largest_channel(tmp_path / "net.onnx")
    assert "is int64 [1, 8, 12], expected floating-point scores [1, K, h, w]" in refusal(made.asked(classes))


def test_classes_out_of_range_are_refused(tmp_path, photos):
    asked = made.asked(made.largest_channel(tmp_path / "net.onnx"), gives="classes", classes=("a", "b"))
    photos[:, 2] = 255
    with pytest.raises(UserError, match=r"holds classes 0 to 2, and evaluate\.segmentation\.classes names 2"):
        seen(asked, photos)


def test_scores_that_are_no_numbers_are_refused(tmp_path, photos):
    asked = made.asked(made.one_operator(tmp_path / "net.onnx", "Log"), mean=(-1.0, -1.0, -1.0))  # log(photo + 1)
    assert seen(asked, photos).isfinite().all()
    path = made.one_operator(tmp_path / "net.onnx", "Log")  # log 0 of a black pixel
    assert "holds a score that is NaN or infinite" in refusal(made.asked(path))
    assert "holds a score that is NaN or infinite" in refusal(made.asked(path, mean=(0.5, 0.5, 0.5)))


def test_a_network_that_fails_while_it_runs_is_named(tmp_path):
    nodes = [made.helper.make_node("Reshape", ["photos", "shape"], ["out"])]
    shape = made.numpy_helper.from_array(made.np.array([7, 7]), "shape")
    path = made.write(tmp_path / "net.onnx", nodes, ["N", 3, "H", "W"], tensors=[shape])
    assert "cannot take photos [1, 3, 8, 12]" in refusal(made.asked(path))
