from typing import get_args

import pytest
import torch
from torch import Tensor

from understudy.errors import UserError
from understudy.losses.kernel_alignment import Form, alignment_loss, by_features, by_samples, kernel_alignment

FORMS = get_args(Form)
GLOBAL = [form for form in FORMS if form.startswith("global")]
BATCH = [form for form in FORMS if not form.startswith("global")]


def features(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def maps(*rows: list[float]) -> Tensor:
    """Samples of a few numbers as 1x1 maps, of which every form takes one image per sample."""
    return torch.tensor(rows, dtype=torch.float64)[:, :, None, None]


def orthogonal(seed: int, size: int) -> Tensor:
    return torch.linalg.qr(features(seed, size, size)).Q


@pytest.fixture
def x() -> Tensor:
    return features(0, 6, 5, 3, 4)


@pytest.fixture
def y() -> Tensor:
    return features(1, 6, 2, 3, 4)


@pytest.mark.parametrize("form", FORMS)
def test_is_one_for_equal_features_symmetric_and_between_zero_and_one(form: Form, x: Tensor, y: Tensor) -> None:
    assert kernel_alignment(x, x, form).item() == pytest.approx(1, abs=1e-12)
    forward = kernel_alignment(x, y, form).item()
    assert 0 < forward < 1
    assert kernel_alignment(y, x, form).item() == pytest.approx(forward, abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("factor", [-1.0, 3.7, 1e-120, -1e120])
def test_does_not_depend_on_the_scale_or_sign_of_one_side(form: Form, factor: float, x: Tensor, y: Tensor) -> None:
    expected = kernel_alignment(x, y, form).item()
    assert kernel_alignment(factor * x, y, form).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("form", GLOBAL)
def test_global_does_not_depend_on_an_orthogonal_map_of_the_channels(form: Form, x: Tensor, y: Tensor) -> None:
    turned = torch.einsum("dc,nchw->ndhw", orthogonal(2, 5), x)
    assert kernel_alignment(turned, y, form).item() == pytest.approx(kernel_alignment(x, y, form).item(), abs=1e-12)


@pytest.mark.parametrize("form", BATCH)
def test_batch_does_not_depend_on_an_orthogonal_map_of_a_whole_sample(form: Form, x: Tensor, y: Tensor) -> None:
    turned = (x.flatten(1) @ orthogonal(3, 60)).reshape(x.shape)
    assert kernel_alignment(turned, y, form).item() == pytest.approx(kernel_alignment(x, y, form).item(), abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_permuting_images_jointly_changes_nothing_and_on_one_side_does(form: Form, x: Tensor, y: Tensor) -> None:
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    expected = kernel_alignment(x, y, form).item()
    assert kernel_alignment(x[order], y[order], form).item() == pytest.approx(expected, abs=1e-12)
    assert abs(kernel_alignment(x[order], y, form).item() - expected) > 1e-4


def test_release_is_the_uncentred_batch_form_and_blind_to_a_single_image(x: Tensor, y: Tensor) -> None:
    assert kernel_alignment(x, y, "release") == kernel_alignment(x, y, "batch")
    assert kernel_alignment(x[:1], y[:1], "release").item() == pytest.approx(1, abs=1e-12)
    for form in GLOBAL:
        assert kernel_alignment(x[:1], y[:1], form).item() < 0.9


@pytest.mark.parametrize("form", ["global", "batch", "release"])
def test_known_values(form: Form) -> None:
    identity, ones = maps(*torch.eye(4).tolist()), maps([1.0], [1.0], [1.0], [1.0])
    assert kernel_alignment(identity, ones, form).item() == pytest.approx(0.5, abs=1e-12)
    first, second = maps([1.0, 0.0], [0.0, 1.0]), maps([1.0, 0.0], [1.0, 0.0])
    assert kernel_alignment(first, second, form).item() == pytest.approx(0.5**0.5, abs=1e-12)


@pytest.mark.parametrize(("n", "p", "q"), [(4, 60, 9), (50, 6, 2), (7, 7, 7), (1, 3, 5)])
def test_sample_form_equals_feature_form_in_value_and_gradient(n: int, p: int, q: int) -> None:
    x, y = features(4, n, p), features(5, n, q).requires_grad_()
    first, second = by_samples(x, y), by_features(x, y)
    assert first.item() == pytest.approx(second.item(), abs=1e-12)
    gradients = [torch.autograd.grad(value, y)[0] for value in (first, second)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_both_sides_of_the_cost_rule_give_the_number_of_its_definition() -> None:
    for shape in ((3, 8, 4, 4), (40, 2, 1, 1)):  # few long samples, many short ones
        x, y = features(6, *shape), features(7, *shape)
        k, l = (a.flatten(1) @ a.flatten(1).T for a in (x, y))  # noqa: E741
        expected = (k * l).sum() / (k.norm() * l.norm())
        assert kernel_alignment(x, y, "batch").item() == pytest.approx(expected.item(), abs=1e-12)


def test_only_the_global_form_sees_a_spatial_shuffle_of_one_side(x: Tensor, y: Tensor) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(8))
    shuffled = x.flatten(2)[:, :, order].reshape(x.shape)
    for form in BATCH:
        assert kernel_alignment(shuffled, y, form).item() == pytest.approx(
            kernel_alignment(x, y, form).item(), abs=1e-12
        )
    for form in GLOBAL:
        assert abs(kernel_alignment(shuffled, y, form).item() - kernel_alignment(x, y, form).item()) > 1e-4


def test_only_the_centred_forms_ignore_a_constant_vector(x: Tensor, y: Tensor) -> None:
    channel = torch.linspace(5, 15, 5, dtype=torch.float64)[:, None, None]
    for form in FORMS:
        moved, expected = kernel_alignment(x + channel, y + 10, form).item(), kernel_alignment(x, y, form).item()
        if form.endswith("centred"):
            assert moved == pytest.approx(expected, abs=1e-12)
        else:
            assert moved > 0.99 > expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dead_features_give_zero_and_a_zero_gradient(form: Form, dtype: torch.dtype) -> None:
    x = features(9, 3, 4, 5, 5, dtype=dtype).requires_grad_()
    # 0.1 is no binary fraction: its mean over 75 pixels is rounded, and centring must not take that for a signal.
    constant = 0.1 if form.endswith("centred") else 0.0
    dead = torch.full((3, 2, 5, 5), constant, dtype=dtype, requires_grad=True)
    for value in (kernel_alignment(x, dead, form), kernel_alignment(dead, x, form), kernel_alignment(dead, dead, form)):
        assert value == 0
        for gradient in torch.autograd.grad(value, (x, dead), allow_unused=True):
            assert gradient is None or not gradient.any()


def test_gradcheck() -> None:
    x, y = features(10, 3, 2, 2, 2).requires_grad_(), features(11, 3, 3, 2, 2).requires_grad_()
    for form in FORMS:
        assert torch.autograd.gradcheck(lambda a, b, form=form: kernel_alignment(a, b, form), (x, y))


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_float32_neither_overflows_nor_underflows(scale: float) -> None:
    x, y = (scale * features(seed, 4, 8, 64, 64, dtype=torch.float32) for seed in (12, 13))
    y = (y + 0.3 * x[:, :8]).requires_grad_()
    for form in FORMS:
        value = kernel_alignment(x, y, form)
        expected = kernel_alignment(x.double() / scale, y.double() / scale, form).item()
        assert value.item() == pytest.approx(expected, rel=1e-5)
        (gradient,) = torch.autograd.grad(value, y)
        assert gradient.isfinite().all()


def test_a_million_pixels_stay_accurate_in_float32() -> None:
    x, y = (features(seed, 16, 2, 256, 256, dtype=torch.float32).relu() for seed in (14, 15))
    exact = kernel_alignment(x.double(), y.double(), "global_centred").item()
    assert kernel_alignment(x, x, "global_centred").item() == pytest.approx(1, abs=1e-5)
    assert kernel_alignment(x, y, "global_centred").item() == pytest.approx(exact, abs=1e-6)


def test_autocast_does_not_lower_the_precision() -> None:
    x, y = (features(seed, 4, 6, 8, 8, dtype=torch.float32) for seed in (16, 17))
    for form in FORMS:
        expected = kernel_alignment(x, y, form)
        with torch.autocast("cpu", torch.bfloat16):
            value = kernel_alignment(x, y, form)
        assert value.dtype == torch.float32
        assert value == expected
        narrow = kernel_alignment(x.bfloat16(), y.bfloat16(), form)
        assert narrow == kernel_alignment(x.bfloat16().float(), y.bfloat16().float(), form)


def test_bad_input_is_named() -> None:
    x = features(18, 2, 3, 4, 4)
    with pytest.raises(UserError, match="batch_centred"):
        kernel_alignment(x[:1], x[:1], "batch_centred")
    with pytest.raises(UserError, match="cka"):
        kernel_alignment(x, x, "cka")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="do not pair up"):
        kernel_alignment(x, x[..., :2], "global")
    with pytest.raises(UserError, match="do not pair up"):
        kernel_alignment(x, x[:1], "batch")
    assert kernel_alignment(x, x[..., :2], "batch") > 0  # a sample is an image, whatever its size
    with pytest.raises(UserError, match="block"):
        alignment_loss({"stem": x}, {"block.1": x}, "global")
    fine, bottleneck = features(60, 2, 3, 4, 4), features(61, 2, 3, 1, 1)
    taps = {"down.2": fine, "down.4": bottleneck}
    with pytest.raises(UserError, match=r"the map of down\.4 has 1 pixels.* 16 or more"):
        alignment_loss(taps, taps, "global")


@pytest.mark.parametrize("form", FORMS)
def test_four_equal_taps_give_minus_four(form: Form) -> None:
    taps = {name: features(seed, 4, 6, 4, 4) for seed, name in enumerate(("stem", "block.2", "block.5", "block.8"))}
    assert alignment_loss(taps, taps, form).item() == pytest.approx(-4, abs=1e-12)
    other = {name: features(seed, 4, 3, 4, 4) for seed, name in enumerate(taps, start=50)}
    assert -4 < alignment_loss(taps, other, form).item() < 0


@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_reaches_the_student_alone(form: Form) -> None:
    teacher, student = features(19, 3, 4, 4, 4).requires_grad_(), features(20, 3, 2, 4, 4).requires_grad_()
    alignment_loss({"stem": teacher}, {"stem": student}, form).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().max() > 0
