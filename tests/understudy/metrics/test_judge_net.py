"""The judges' networks: any size in, files that come back, errors that name the file."""

import pytest
import torch
from torch.nn import functional as F

from understudy.data.prepared import DatasetInfo
from understudy.data.terms import Kind
from understudy.errors import UserError
from understudy.metrics.judge import build_judge, load_judge, save_judge
from understudy.metrics.judge_net import JudgeNet
from understudy.metrics.protocol import L1_TO_INPUT, MIOU, PIXEL_ACCURACY, TARGET_SHARE
from understudy.metrics.segmenter import Segmenter, predict

KINDS = ("labels", "photos", "unpaired")


def info(classes: int, kind: Kind = "labels") -> DatasetInfo:
    palette = tuple((index, 0, 0) for index in range(classes))
    return DatasetInfo("some", kind, (32, 32), tuple("abcdefgh"[:classes]), palette, None, "CC0", {"train": 1})


@pytest.fixture(params=KINDS)
def any_judge(request) -> JudgeNet:
    torch.manual_seed(0)
    return build_judge(info(5 if request.param == "labels" else 0, request.param), width=6).eval()


@pytest.fixture
def judge() -> JudgeNet:
    torch.manual_seed(0)
    return Segmenter(num_classes=5, width=6).eval()


OUTPUTS = {"labels": (5,), "photos": (3,), "unpaired": ()}  # channels


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (33, 50), (1, 1), (16, 130)])
def test_any_size(any_judge, size):
    output, features = any_judge.observe(torch.zeros(2, 3, *size))
    channels = OUTPUTS[any_judge.kind]
    assert output.shape == (2, *channels, *(size if channels else ()))
    assert features.shape == (2, any_judge.dims) == (2, 18)
    assert torch.equal(output, any_judge(torch.zeros(2, 3, *size)))


def test_an_image_is_judged_alone(any_judge):
    photos = torch.rand(4, 3, 32, 32) * 2 - 1
    together, one = any_judge.observe(photos), any_judge.observe(photos[2:3])
    assert torch.allclose(together[0][2:3], one[0], atol=1e-5)
    assert torch.allclose(together[1][2:3], one[1], atol=1e-5)


def test_features_answer_to_blur(any_judge):
    judge = any_judge
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(photo, 3, 1, 1, count_include_pad=False)
    sharp, soft = judge.observe(photo)[1], judge.observe(blurred)[1]
    texture = slice(0, judge.width)
    assert (sharp - soft)[0, texture].norm() > 0.05 * sharp[0, texture].norm()


def test_save_and_load(any_judge, tmp_path):
    save_judge(any_judge, tmp_path)
    again = load_judge(tmp_path, info(any_judge.num_classes, any_judge.kind))
    photos = torch.rand(2, 3, 32, 32)
    assert type(again) is type(any_judge) and not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert torch.equal(again(photos), any_judge(photos))


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_of_another_kind_of_data_is_named(any_judge, kind, tmp_path):
    if kind == any_judge.kind:
        return
    save_judge(any_judge, tmp_path)
    name = {"labels": "segmenter", "photos": "inverter", "unpaired": "classifier"}[any_judge.kind]
    expected = (
        rf"judge\.json: a {name}, of data of kind {any_judge.kind}; some is of kind {kind}; run `dvc repro judge`"
    )
    with pytest.raises(UserError, match=expected):
        load_judge(tmp_path, info(5, kind))


def test_what_they_read_adds_up_to_their_metrics():
    labels = torch.tensor([0, 1, 2, 2], dtype=torch.uint8).view(1, 2, 2)
    logits = F.one_hot(labels.long(), 5).permute(0, 3, 1, 2).float()
    segmenter = build_judge(info(5), 4)
    assert [segmenter.statistics[name](segmenter.read(logits, labels).sum(0)) for name in (MIOU, PIXEL_ACCURACY)] == [
        1,
        1,
    ]
    inputs = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    inverter = build_judge(info(0, "photos"), 4)
    read = inverter.read(torch.stack([torch.full((3, 4, 4), 7.0), torch.zeros(3, 4, 4)]), inputs)  # white, and grey
    assert inverter.statistics[L1_TO_INPUT](read.sum(0)) == pytest.approx(0.25)
    classifier = build_judge(info(0, "unpaired"), 4)
    read = classifier.read(torch.tensor([-2.0, 0.1, 3.0, 5.0]), inputs)
    assert classifier.statistics[TARGET_SHARE](read.sum(0)) == 0.75


def test_missing_and_damaged_files_are_named(judge, tmp_path):
    with pytest.raises(UserError, match=r"judge\.json"):
        load_judge(tmp_path, info(5))
    save_judge(judge, tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"weights\.safetensors: (no such file|damaged)"):
        load_judge(tmp_path, info(5))
    weights.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: (no such file|damaged)"):
        load_judge(tmp_path, info(5))
    save_judge(Segmenter(5, 8), tmp_path)
    (tmp_path / "judge.json").write_text('{"schema": 2, "kind": "labels", "num_classes": 5, "width": 6}')
    with pytest.raises(UserError, match="not of the architecture beside it"):
        load_judge(tmp_path, info(5))
    with pytest.raises(UserError, match=r"judge\.json: knows 5 classes, the data have 4"):
        load_judge(tmp_path, info(4))
    (tmp_path / "judge.json").write_text('{"schema": 7}')
    with pytest.raises(UserError, match="schema 2"):
        load_judge(tmp_path, info(5))


def test_the_ignored_class_is_never_predicted():
    logits = torch.tensor([1.0, 2.0, 9.0]).view(1, 3, 1, 1)
    assert predict(logits, None).item() == 2
    assert predict(logits, 255).item() == 2
    assert predict(logits, 2).item() == 1


def test_macs_are_counted_by_hand_and_grow_with_the_area(judge):
    single = Segmenter(num_classes=1, width=2)
    kernels = {name: p for name, p in single.named_parameters() if p.dim() == 4}
    places = {"fine": 1, "down1": 4, "down2": 16, "down3": 64, "down4": 256, "up3": 64, "up2": 16, "up1": 4, "up0": 1,
              "logits": 1}  # fmt: skip
    expected = sum(p.numel() * 32 * 32 // places[name.split(".")[0]] for name, p in kernels.items())
    assert single.macs(32, 32) == expected + single.context.weight.numel()
    assert judge.macs(64, 64) == pytest.approx(4 * judge.macs(32, 32), rel=0.01)


def test_wrong_shape_is_named(judge):
    with pytest.raises(ValueError, match=r"expected photos \[N, 3, H, W\], found \[2, 1, 8, 8\]"):
        judge(torch.zeros(2, 1, 8, 8))
