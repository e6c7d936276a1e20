"""Names that begin with test_a01 to test_a11 show one acceptance test of the method each."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.errors import UserError
from understudy.losses import semantic_relation
from understudy.losses.semantic_relation import DEAD, relation_loss

CASES = [(norm, centred) for norm in ("l1", "l2") for centred in (False, True)]
every_case = pytest.mark.parametrize(("norm", "centred"), CASES)


def features(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relations(maps: Tensor, centred: bool) -> Tensor:
    """A' [B, N, N] as it is defined, with zero rows for dead pixels."""
    rows = maps.flatten(2).mT  # [B, N, C]
    if centred:
        rows = rows - rows.mean(1, keepdim=True)
    product = rows @ rows.mT
    length = product.square().sum(2, keepdim=True).clamp_min(DEAD).sqrt()
    return product / length


def naive(teacher: Tensor, student: Tensor, norm: str, centred: bool) -> Tensor:
    difference = relations(student, centred) - relations(teacher, centred)
    n = difference.shape[-1]
    if norm == "l1":
        return difference.abs().sum((1, 2)).mean() / n**1.5
    return difference.square().sum((1, 2)).mean() / (2 * n)


@every_case
@pytest.mark.parametrize("implementation", [relation_loss, naive])
def test_a01_zero_for_equal_features_and_never_negative(norm: str, centred: bool, implementation) -> None:
    x = features(0, 3, 5, 6, 6)
    assert implementation(x, x, norm, centred).item() == pytest.approx(0, abs=1e-12)
    for seed in range(1, 20):
        assert implementation(x, features(seed, 3, 2, 6, 6), norm, centred) > 0


@every_case
def test_a01_zero_for_equal_features_in_float32(norm: str, centred: bool) -> None:
    x = features(0, 2, 32, 32, 32, dtype=torch.float32).relu()
    assert 0 <= relation_loss(x, x, norm, centred) < 1e-6


@every_case
@pytest.mark.parametrize("size", [(4, 4), (16, 16), (24, 24)])
@pytest.mark.parametrize("block", [1, 5_000, 2**20])  # single rows, blocks that do not divide N, all at once
def test_a02_equals_the_naive_matrix_in_value_and_gradient(
    norm: str, centred: bool, size: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_relation, "BLOCK", block)
    teacher, student = features(0, 2, 7, *size), features(1, 2, 3, *size).requires_grad_()
    value, expected = (loss(teacher, student, norm, centred) for loss in (relation_loss, naive))
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    (gradient,), (wanted,) = (torch.autograd.grad(loss, student) for loss in (value, expected))
    assert (gradient - wanted).norm() <= 1e-10 * wanted.norm()


@every_case
def test_a02_gradcheck_on_4x4(norm: str, centred: bool) -> None:
    teacher, student = features(2, 2, 3, 4, 4), features(3, 2, 2, 4, 4).requires_grad_()
    # The loss calls its own rescaling a constant. Were it wrong to, finite differences would disagree.
    assert torch.autograd.gradcheck(lambda s: relation_loss(teacher, s, norm, centred), (student,))  # type: ignore[arg-type]


@every_case
def test_a03_ignores_scale_and_rotation_of_the_students_channels(norm: str, centred: bool) -> None:
    teacher, student = features(4, 2, 6, 5, 5), features(5, 2, 4, 5, 5)
    expected = relation_loss(teacher, student, norm, centred).item()
    for factor in (1e-100, 0.3, 1e100):
        assert relation_loss(teacher, factor * student, norm, centred).item() == pytest.approx(expected, rel=1e-12)
    rotation = torch.linalg.qr(features(6, 4, 4)).Q
    turned = torch.einsum("dc,bchw->bdhw", rotation, student)
    assert relation_loss(teacher, turned, norm, centred).item() == pytest.approx(expected, rel=1e-11)


@every_case
def test_a03_follows_a_joint_permutation_of_pixels_and_not_one_of_one_side(norm: str, centred: bool) -> None:
    teacher, student = features(7, 2, 6, 5, 5), features(8, 2, 4, 5, 5)
    student = student + teacher[:, :4]
    order = torch.randperm(25, generator=torch.Generator().manual_seed(9))
    shuffled = [maps.flatten(2)[:, :, order].reshape(maps.shape) for maps in (teacher, student)]
    expected = relation_loss(teacher, student, norm, centred).item()
    assert relation_loss(shuffled[0], shuffled[1], norm, centred).item() == pytest.approx(expected, rel=1e-12)
    assert relation_loss(teacher, shuffled[1], norm, centred).item() > 1.1 * expected


@every_case
def test_a04_widths_may_differ_and_sizes_may_not(norm: str, centred: bool) -> None:
    teacher = features(10, 2, 6, 8, 8)
    for width in (1, 6, 9):
        assert relation_loss(teacher, features(11, 2, width, 8, 8), norm, centred).isfinite()
    for shape in ((2, 6, 8, 4), (2, 6, 4, 16), (1, 6, 8, 8)):
        with pytest.raises(UserError, match="must share"):
            relation_loss(teacher, features(11, *shape), norm, centred)


@every_case
def test_a04_a_bottleneck_of_fewer_than_16_pixels_is_refused(norm: str, centred: bool) -> None:
    with pytest.raises(UserError, match="9 pixels"):
        relation_loss(features(12, 1, 4, 3, 3), features(13, 1, 4, 3, 3), norm, centred)
    assert relation_loss(features(12, 1, 4, 2, 8), features(13, 1, 4, 2, 8), norm, centred) > 0


def test_an_unknown_norm_is_named() -> None:
    with pytest.raises(UserError, match="l3"):
        relation_loss(features(12, 1, 4, 4, 4), features(13, 1, 4, 4, 4), "l3", False)  # type: ignore[arg-type]


def state_hash(net: nn.Module) -> str:
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in net.state_dict().values())).hexdigest()


@every_case
def test_a05_no_gradient_reaches_the_teacher_and_a_step_leaves_it_as_it_was(norm: str, centred: bool) -> None:
    torch.manual_seed(0)
    teacher, student, x = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 8, 8)
    optimizer = torch.optim.Adam([*teacher.parameters(), *student.parameters()], lr=0.1)
    before = [state_hash(net) for net in (teacher, student)]
    relation_loss(teacher(x), student(x), norm, centred).backward()
    optimizer.step()
    after = [state_hash(net) for net in (teacher, student)]
    assert all(weights.grad is None for weights in teacher.parameters())
    assert before[0] == after[0]
    assert before[1] != after[1]


@every_case
def test_a06_a_batch_is_the_mean_of_its_images(norm: str, centred: bool) -> None:
    teacher, student = features(14, 2, 6, 5, 5), features(15, 2, 4, 5, 5)
    singles = [relation_loss(teacher[i : i + 1], student[i : i + 1], norm, centred).item() for i in range(2)]
    assert relation_loss(teacher, student, norm, centred).item() == pytest.approx(sum(singles) / 2, rel=1e-12)
    # images of very different scale weigh the same
    student[1] *= 1e6
    assert relation_loss(teacher, student, norm, centred).item() == pytest.approx(sum(singles) / 2, rel=1e-12)


@every_case
def test_a06_a_single_image_teaches(norm: str, centred: bool) -> None:
    student = features(16, 1, 4, 5, 5).requires_grad_()
    relation_loss(features(17, 1, 6, 5, 5), student, norm, centred).backward()
    assert student.grad is not None
    assert student.grad.abs().max() > 1e-5


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a07_dead_pixels_give_finite_loss_and_gradient(norm: str, centred: bool, dtype: torch.dtype) -> None:
    teacher, student = features(18, 2, 6, 5, 5, dtype=dtype).relu(), features(19, 2, 4, 5, 5, dtype=dtype).relu()
    teacher[0, :, 0, :2], student[0, :, 2:4, 3], student[1] = 0, 0, 0.1 if centred else 0
    student.requires_grad_()
    value = relation_loss(teacher, student, norm, centred)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient[0].abs().max() > 0
    assert not gradient[1].any()  # nothing at all lives there
    if norm == "l2" and not centred:
        assert relation_loss(teacher[1:], student[1:], norm, centred).item() == pytest.approx(0.5)  # (N_t + 0) / 2N
    expected = naive(teacher.double(), student.double(), norm, centred)
    if not centred:  # rounding keeps the definition's centred constant from being zero
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)


@every_case
def test_a08_autocast_does_not_lower_the_precision(norm: str, centred: bool) -> None:
    teacher, student = (features(seed, 2, 16, 16, 16, dtype=torch.float32) for seed in (20, 21))
    student.requires_grad_()
    expected = relation_loss(teacher, student, norm, centred)
    with torch.autocast("cpu", torch.bfloat16):
        value = relation_loss(teacher, student, norm, centred)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), abs=1e-5)
    (gradient,), (wanted,) = (torch.autograd.grad(loss, student) for loss in (value, expected))
    torch.testing.assert_close(gradient, wanted)
    narrow = relation_loss(teacher.bfloat16(), student.bfloat16(), norm, centred)
    assert narrow == relation_loss(teacher.bfloat16().float(), student.bfloat16().float(), norm, centred)


@every_case
def test_float32_survives_pixels_a_millionth_as_strong_as_the_others(norm: str, centred: bool) -> None:
    teacher, student = (features(seed, 1, 8, 32, 32, dtype=torch.float32) for seed in (22, 23))
    student[0, :, ::5] *= 1e-6
    student.requires_grad_()
    value = relation_loss(teacher, student, norm, centred)
    assert value.item() == pytest.approx(naive(teacher.double(), student.double(), norm, centred).item(), rel=1e-4)
    assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_the_scale_does_not_depend_on_the_resolution() -> None:
    for norm in ("l1", "l2"):
        values = [
            relation_loss(features(24, 1, 8, size, size), features(25, 1, 4, size, size), norm, False).item()  # type: ignore[arg-type]
            for size in (16, 32, 64)
        ]
        assert max(values) < 1.1 * min(values)


def test_centring_tells_unrelated_maps_after_a_relu_apart() -> None:
    # 64x64 pixels, 256 and 64 channels: 94 % alike by accident, and 3 % once centred
    teacher, student = (features(seed, 1, c, 64, 64, dtype=torch.float32).relu() for seed, c in ((26, 256), (27, 64)))
    assert relation_loss(teacher, student, "l2", False).item() == pytest.approx(0.060, abs=0.002)
    assert relation_loss(teacher, student, "l2", True).item() == pytest.approx(0.970, abs=0.002)


# VmHWM and not getrusage: the latter's maximum starts at the parent's, which hides what the child adds.
MEMORY = """
import re, sys
from pathlib import Path
import torch
from understudy.losses.semantic_relation import relation_loss

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

torch.set_num_threads(1)
teacher, student = torch.randn(1, 256, 128, 128), torch.randn(1, 64, 128, 128, requires_grad=True)
relation_loss(teacher[..., :8, :8], student[..., :8, :8], sys.argv[1], True).backward()  # libraries start up
before = peak()
relation_loss(teacher, student, sys.argv[1], True).backward()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a09_at_16384_pixels_the_peak_stays_far_under_one_relation_matrix(norm: str) -> None:
    matrix_mib = 16384**2 * 4 / 2**20  # 1024 MiB for one A in float32; the naive loss holds six at its peak
    result = subprocess.run([sys.executable, "-c", MEMORY, norm], capture_output=True, text=True, check=True)
    used_mib = float(result.stdout)
    inputs_mib = 320 * 16384 * 4 / 2**20
    assert inputs_mib < used_mib < 512 < matrix_mib  # the lower bound shows that the peak was seen at all


class Net(nn.Module):
    """Four layers with a tap in the middle: an image and its features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(4, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.InstanceNorm2d(width),
        )
        self.decoder = nn.Sequential(
            nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(x)
        return self.decoder(features), features


def synthetic_pairs() -> tuple[Tensor, Tensor]:
    """8 one-hot maps of coarse random regions [8, 4, 32, 32], and photos that colour their classes [8, 3, 32, 32].

    Two classes share each colour: what tells them apart is not in the photos, only in the teacher.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(4, (8, 4, 4), generator=generator)
    labels = F.one_hot(coarse, 4).permute(0, 3, 1, 2).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
    colours = (torch.rand(2, 3, generator=generator) * 2 - 1).repeat_interleave(2, 0)  # [4, 3]
    photos = torch.einsum("bchw,cd->bdhw", labels, colours) + 0.1 * torch.randn(8, 3, 32, 32, generator=generator)
    return labels, photos.clamp(-1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a11_200_steps_teach_the_relations_with_the_term_on_and_not_with_it_off(seed: int) -> None:
    labels, photos = synthetic_pairs()
    torch.manual_seed(100 + seed)
    with torch.no_grad():
        wanted = Net(32)(labels)[1]

    def remaining(weight: float) -> float:
        """l2n after 200 steps as a fraction of l2n before."""
        torch.manual_seed(seed)
        student = Net(8)
        optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
        relations = []
        for _ in range(201):
            image, features = student(labels)
            relation = relation_loss(wanted, features, "l2", False)
            relations.append(relation.item())
            optimizer.zero_grad()
            (F.l1_loss(image, photos) + weight * relation).backward()
            optimizer.step()
        return relations[-1] / relations[0]

    assert remaining(1.0) < 0.7
    assert remaining(0.0) > 0.7
