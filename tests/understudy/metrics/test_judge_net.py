"""The judge network: any size in, files that come back, errors that name the file."""

import pytest
import torch

from understudy.errors import UserError
from understudy.metrics.judge import JudgeNet, load_judge, predict, save_judge


@pytest.fixture
def judge() -> JudgeNet:
    torch.manual_seed(0)
    return JudgeNet(num_classes=5, width=6).eval()


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (33, 50), (1, 1), (16, 130)])
def test_any_size(judge, size):
    logits, features = judge.observe(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert features.shape == (2, judge.dims) == (2, 18)
    assert torch.equal(logits, judge(torch.zeros(2, 3, *size)))


def test_an_image_is_judged_alone(judge):
    photos = torch.rand(4, 3, 32, 32) * 2 - 1
    together, one = judge.observe(photos), judge.observe(photos[2:3])
    assert torch.allclose(together[0][2:3], one[0], atol=1e-5)
    assert torch.allclose(together[1][2:3], one[1], atol=1e-5)


def test_features_answer_to_blur(judge):
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(photo, 3, 1, 1, count_include_pad=False)
    sharp, soft = judge.observe(photo)[1], judge.observe(blurred)[1]
    texture = slice(0, judge.width)
    assert (sharp - soft)[0, texture].norm() > 0.05 * sharp[0, texture].norm()


def test_save_and_load(judge, tmp_path):
    save_judge(judge, tmp_path)
    again = load_judge(tmp_path, 5)
    photos = torch.rand(2, 3, 32, 32)
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert torch.equal(again(photos), judge(photos))


def test_missing_and_damaged_files_are_named(judge, tmp_path):
    with pytest.raises(UserError, match=r"judge\.json"):
        load_judge(tmp_path, 5)
    save_judge(judge, tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"weights\.safetensors: (no such file|damaged)"):
        load_judge(tmp_path, 5)
    weights.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: (no such file|damaged)"):
        load_judge(tmp_path, 5)
    save_judge(JudgeNet(5, 8), tmp_path)
    (tmp_path / "judge.json").write_text('{"schema": 1, "num_classes": 5, "width": 6}')
    with pytest.raises(UserError, match="not of the architecture beside it"):
        load_judge(tmp_path, 5)
    with pytest.raises(UserError, match=r"judge\.json: knows 5 classes, the data have 4"):
        load_judge(tmp_path, 4)
    (tmp_path / "judge.json").write_text('{"schema": 7}')
    with pytest.raises(UserError, match="schema 1"):
        load_judge(tmp_path, 5)


def test_the_ignored_class_is_never_predicted():
    logits = torch.tensor([1.0, 2.0, 9.0]).view(1, 3, 1, 1)
    assert predict(logits, None).item() == 2
    assert predict(logits, 255).item() == 2
    assert predict(logits, 2).item() == 1


def test_macs_are_counted_by_hand_and_grow_with_the_area(judge):
    single = JudgeNet(num_classes=1, width=2)
    kernels = {name: p for name, p in single.named_parameters() if p.dim() == 4}
    places = {"fine": 1, "down1": 4, "down2": 16, "down3": 64, "down4": 256, "up3": 64, "up2": 16, "up1": 4, "up0": 1,
              "logits": 1}  # fmt: skip
    expected = sum(p.numel() * 32 * 32 // places[name.split(".")[0]] for name, p in kernels.items())
    assert single.macs(32, 32) == expected + single.context.weight.numel()
    assert judge.macs(64, 64) == pytest.approx(4 * judge.macs(32, 32), rel=0.01)


def test_wrong_shape_is_named(judge):
    with pytest.raises(ValueError, match=r"expected photos \[N, 3, H, W\], found \[2, 1, 8, 8\]"):
        judge(torch.zeros(2, 1, 8, 8))
