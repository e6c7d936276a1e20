"""The recipes have the settings of the papers: CAT's released scripts, and what SRPKD states or leaves to CycleGAN."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from understudy.params.active import load_all
from understudy.params.distill import Distill
from understudy.params.objective import Cyclegan, Objective
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.schedule import Schedule
from understudy.params.student import Student
from understudy.params.teacher import Teacher

REPO = Path(__file__).parents[2]


@dataclass(frozen=True)
class Training:
    """epochs: at a constant learning rate, and with it falling. recon: weight of the L1 distance to the photo."""

    epochs: tuple[int, int]
    batch: int
    recon: float


@dataclass(frozen=True)
class Paper:
    """alignment: the script's weight, and the number of GPUs over which its code adds the term up. output: weight of
    the L1 distance to the teacher's output; relation: of SRPKD's term, of which no weight is published."""

    images: int
    teacher: Training
    student: Training
    objective: str
    ndf: int
    norm: str
    alignment: tuple[float, int] = (0.0, 1)
    output: float = 0.0
    relation: float = 0.0
    direction: str | None = None
    size: tuple[int, int] = (256, 256)
    load_size: tuple[int, int] | None = (286, 286)
    pruned: tuple[str, int] = ("threshold", 16)  # method, and the fewest channels that it leaves


ZEBRAS, PHOTOS, MAPS = 1334, 2975, 1096
# GauGAN's code averages over its GPUs, and so nothing is multiplied.
_UNPAIRED = (ZEBRAS, Training((500, 500), 32, 0.0), Training((500, 500), 80, 0.0), "cyclegan", 64)
_GAUGAN = (PHOTOS, Training((100, 100), 16, 0.0), Training((100, 100), 16, 0.0), "gaugan", 64, "batch", (0.5, 1))
_RESNET = (ZEBRAS, Training((100, 100), 1, 0.0), Training((100, 100), 1, 0.0), "cyclegan", 64, "instance")
_UNET = (PHOTOS, Training((100, 100), 1, 100.0), Training((100, 100), 1, 100.0), "pix2pix", 64, "batch")
_OF_SRPKD = {"output": 10.0, "relation": 1.0, "pruned": ("uniform", 8)}
PAPERS = {
    "horse2zebra": Paper(*_UNPAIRED, "instance_affine", (1.0, 4), 5.0, direction="AtoB"),
    "zebra2horse": Paper(*_UNPAIRED, "batch", (0.1, 4), 5.0, direction="BtoA"),
    "cityscapes": Paper(
        PHOTOS, Training((500, 750), 32, 100.0), Training((500, 750), 80, 100.0), "pix2pix", 128, "batch", (0.5, 4)
    ),
    "map2aerial": Paper(
        MAPS, Training((500, 1000), 32, 10.0), Training((500, 1000), 80, 100.0), "pix2pix", 128, "batch", (1.3, 4),
        direction="BtoA",
    ),
    "gaugan-cityscapes-a": Paper(*_GAUGAN, size=(256, 512), load_size=None),
    "gaugan-cityscapes-b": Paper(*_GAUGAN, size=(256, 512), load_size=None),
    "srpkd-horse2zebra-32": Paper(*_RESNET, direction="AtoB", **_OF_SRPKD),
    "srpkd-horse2zebra-16": Paper(*_RESNET, direction="AtoB", **_OF_SRPKD),
    "srpkd-cityscapes-unet-16": Paper(*_UNET, **_OF_SRPKD),
}  # fmt: skip
of_papers = pytest.mark.parametrize(("name", "paper"), PAPERS.items(), ids=PAPERS)


def assert_trained(schedule: Schedule, paper: Training, images: int) -> None:
    assert schedule.batch_size == paper.batch
    for steps, epochs in zip((schedule.constant_steps, schedule.decay_steps), paper.epochs, strict=True):
        assert steps % 10 == 0 and steps == pytest.approx(round(epochs * images / paper.batch, -1), abs=10)
    assert schedule.learning_rate == 2e-4 and schedule.ema_decay == 0


@of_papers
def test_its_schedules_are_the_papers_epochs_of_all_images(name, paper):
    params = load_all(REPO / f"recipes/{name}.yaml")
    assert_trained(params[Teacher].schedule, paper.teacher, paper.images)
    assert_trained(params[Student].schedule, paper.student, paper.images)


@of_papers
def test_its_losses_have_the_papers_weights(name, paper):
    params = load_all(REPO / f"recipes/{name}.yaml")
    teacher, student, distill, objective = (params[part] for part in (Teacher, Student, Distill, Objective))
    assert (teacher.lambda_gan, teacher.lambda_recon) == (1.0, paper.teacher.recon)
    assert (student.lambda_gan, student.lambda_recon) == (1.0, paper.student.recon)
    weight, gpus = paper.alignment
    assert distill.alignment.weight == pytest.approx(weight * gpus) and distill.alignment.form == "release"
    assert (distill.output_weight, distill.feature_weight) == (paper.output, 0.0)
    assert (distill.relation.weight, distill.relation.norm, distill.relation.centred) == (paper.relation, "l1", False)
    assert objective.family == paper.objective and objective.cyclegan == Cyclegan(10.0, 0.5, 50)
    assert objective.gaugan.lambda_feature == 10.0
    assert objective.gaugan.perceptual is None or objective.gaugan.perceptual.weight == 10.0
    assert (objective.gaugan.perceptual is not None) == (paper.objective == "gaugan")


@of_papers
def test_its_networks_and_images_are_the_papers(name, paper):
    params = load_all(REPO / f"recipes/{name}.yaml")
    teacher, prepare, distill, prune = (params[part] for part in (Teacher, Prepare, Distill, Prune))
    assert (teacher.ngf, teacher.ndf, teacher.norm) == (64, paper.ndf, paper.norm)
    assert (prepare.size, prepare.load_size, prepare.direction) == (paper.size, paper.load_size, paper.direction)
    assert distill.discriminator == "teacher"
    assert distill.cyclegan.directions == ("both" if paper.relation else "one")
    assert (prune.method, prune.min_width, prune.inherit) == (*paper.pruned, "none")
