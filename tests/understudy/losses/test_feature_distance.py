import pytest
import torch
from torch import nn

from understudy.errors import UserError
from understudy.losses.feature_distance import FeatureDistance

TEACHER, STUDENT = {"stem": 8, "block.1": 6}, {"stem": 3, "block.1": 2}


def features(widths: dict[str, int], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {tap: torch.randn(2, width, 4, 4, generator=generator) for tap, width in widths.items()}


def test_is_the_sum_of_mean_squared_differences_after_adapting() -> None:
    distance, teacher, student = FeatureDistance(TEACHER, STUDENT), features(TEACHER), features(STUDENT, 1)
    expected = sum(
        (adapter(student[tap]) - teacher[tap]).square().mean()
        for tap, adapter in zip(TEACHER, distance.adapters, strict=True)
    )
    assert distance(teacher, student).item() == pytest.approx(torch.as_tensor(expected).item(), rel=1e-6)


def test_is_zero_when_the_adapter_maps_one_onto_the_other() -> None:
    distance = FeatureDistance({"stem": 4}, {"stem": 2})
    student = features({"stem": 2})
    teacher = {"stem": distance.adapters[0](student["stem"])}
    assert distance(teacher, student) == 0


def test_student_and_adapters_learn_and_the_teacher_does_not() -> None:
    distance, teacher, student = FeatureDistance(TEACHER, STUDENT), features(TEACHER), features(STUDENT, 1)
    for tensor in (*teacher.values(), *student.values()):
        tensor.requires_grad_()
    distance(teacher, student).backward()
    assert all(tensor.grad is None for tensor in teacher.values())
    for learned in (*student.values(), *distance.parameters()):
        assert learned.grad is not None
        assert learned.grad.abs().max() > 0


def test_weights_are_stored_and_loaded_for_taps_with_dots_in_their_names() -> None:
    first, second = FeatureDistance(TEACHER, STUDENT), FeatureDistance(TEACHER, STUDENT)
    second.load_state_dict(first.state_dict())
    assert torch.equal(*(net(features(TEACHER), features(STUDENT)) for net in (first, second)))
    assert {tuple(adapter.weight.shape) for adapter in first.adapters if isinstance(adapter, nn.Conv2d)} == {
        (8, 3, 1, 1),
        (6, 2, 1, 1),
    }


def test_autocast_and_narrow_features_do_not_lower_the_precision() -> None:
    distance, teacher, student = FeatureDistance(TEACHER, STUDENT), features(TEACHER), features(STUDENT, 1)
    expected = distance(teacher, student)
    with torch.autocast("cpu", torch.bfloat16):
        assert distance(teacher, student) == expected
    narrow = distance(
        {tap: t.bfloat16() for tap, t in teacher.items()}, {tap: s.bfloat16() for tap, s in student.items()}
    )
    assert narrow.dtype == torch.float32


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="stem"):
        FeatureDistance({"stem": 4}, {"block.1": 4})
    distance = FeatureDistance({"stem": 4}, {"stem": 2})
    with pytest.raises(UserError, match="stem"):
        distance({"stem": torch.zeros(1, 4, 8, 8)}, {"stem": torch.zeros(1, 2, 8, 1)})
