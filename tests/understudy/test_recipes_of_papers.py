"""The recipes with the settings of papers: they cost what their headers say, and train, on networks made tiny."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.arch.teacher import teacher_arch
from understudy.cost import cost
from understudy.data.layouts.cityscapes import LABELS
from understudy.params.active import load_all
from understudy.params.distill import Distill
from understudy.params.objective import Objective
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.student import Student
from understudy.params.teacher import Teacher, Unet
from understudy.prune import uniform
from understudy.train.cyclegan import MAIN, REVERSE
from understudy.train.forward import Forward
from understudy.train.partners import Partners
from understudy.train.setting import Setting, Source, alone, taught, weights_of
from understudy.train.state import State
from understudy.train.update import Batch

REPO = Path(__file__).parents[2]
SIZE = (64, 64)
STATED = re.compile(
    r"^# Teacher: (?P<legacy>[\d.]+) GMACs as the papers count \((?P<true>[\d.]+) true\), (?P<channels>\d+) channels"
    r" in\.\n# Student: (?P<most>at most )?(?P<student>[\d.]+) GMACs as the papers count"
    r"(?: \((?P<student_true>[\d.]+) true\))?",
    re.MULTILINE,
)
OF_PAPERS = [
    path for path in sorted((REPO / "recipes").glob("*.yaml")) if "\n# Teacher: " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", OF_PAPERS, ids=lambda path: path.stem)
def test_it_costs_what_its_header_says(path):
    stated = STATED.search(path.read_text(encoding="utf-8"))
    assert stated, "a header that states costs has both lines, in these words"
    params = load_all(path)
    if params[Teacher].encoding == "rgb":
        assert int(stated["channels"]) == 3
    else:
        assert int(stated["channels"]) == len(LABELS) + params[Prepare].instances
    teacher = teacher_arch(params[Teacher], int(stated["channels"]), params[Prepare].size)
    assert cost(teacher).macs_legacy / 1e9 == pytest.approx(float(stated["legacy"]), rel=0.005)
    assert cost(teacher).macs_true / 1e9 == pytest.approx(float(stated["true"]), rel=0.005)
    prune = params[Prune]
    counted, budget = prune.budget.counted
    assert counted == "macs_legacy"
    if stated["most"]:
        assert budget == float(stated["student"]) * 1e9
        return
    assert prune.method == "uniform"  # whatever the scores
    scores = {name: np.arange(group.width, dtype=np.float32) for name, group in teacher.groups().items()}
    student = uniform.select(teacher, scores, budget, counted, prune.min_width).cost
    assert student.macs_legacy / 1e9 == pytest.approx(float(stated["student"]), rel=0.005)
    assert student.macs_true / 1e9 == pytest.approx(float(stated["student_true"]), rel=0.005)


def test_all_are_there():
    of_cat = {"horse2zebra", "zebra2horse", "cityscapes", "map2aerial", "gaugan-cityscapes-a", "gaugan-cityscapes-b"}
    of_srpkd = {"srpkd-horse2zebra-32", "srpkd-horse2zebra-16", "srpkd-cityscapes-unet-16"}
    assert {path.stem for path in OF_PAPERS} == of_cat | of_srpkd


def test_gaugan_sees_what_the_paper_counts():
    """35 labels and the instances' edges: the teacher's cost, to the last multiplication."""
    for name in ("gaugan-cityscapes-a", "gaugan-cityscapes-b"):
        params = load_all(REPO / f"recipes/{name}.yaml")
        assert params[Prepare].instances and params[Teacher].encoding == "onehot"
        assert cost(teacher_arch(params[Teacher], 36, params[Prepare].size)).macs_legacy == 109_773_614_880


def losses_of_a_step(setting: Setting, channels: int) -> set[str]:
    """Names of the losses, all of them finite."""
    rates = setting.update.rates
    state = State.start(setting.generator, setting.discriminator, setting.adapters, 1e-4, setting.pools, rates)
    inputs, photos = torch.rand(2, channels, *SIZE) * 2 - 1, torch.rand(2, 3, *SIZE) * 2 - 1
    losses = setting.update(state, Batch(inputs, photos), Forward())
    assert all(loss.isfinite() for loss in losses.values())
    return set(losses)


@pytest.mark.parametrize("path", OF_PAPERS, ids=lambda path: path.stem)
def test_its_teacher_and_its_student_learn_from_what_the_paper_says(path):
    torch.manual_seed(0)
    params = load_all(path)
    objective, student, distill = params[Objective], params[Student], params[Distill]
    teacher = replace(params[Teacher], ngf=8, ndf=8, unet=Unet(5))
    channels = 3 if teacher.encoding == "rgb" else 5
    arch = teacher_arch(teacher, channels, SIZE)
    recon = weights_of(objective, teacher.lambda_gan, teacher.lambda_recon, "teacher")
    whole = alone(objective, arch, lambda playing: playing.critic(arch, teacher.ndf), recon, teacher.schedule, 0)
    own = {"pix2pix": {"d", "gan", "recon"}, "gaugan": {"d", "gan", "feature_matching"}}
    taught_alone = losses_of_a_step(whole, channels)
    assert objective.family == "cyclegan" or taught_alone == own[objective.family]

    net, critic = whole.generator, whole.discriminator
    if objective.family == "cyclegan":
        partners = Partners(critic[MAIN], critic[REVERSE], net[REVERSE])
        net = net[MAIN]
    else:
        partners = Partners(critic)
    source = Source(arch, net, partners, inherit=lambda net: None, inherit_reverse=lambda net: None)
    recon = weights_of(objective, student.lambda_gan, student.lambda_recon, "student")
    found = losses_of_a_step(taught(objective, distill, source, arch, recon, student.schedule, 0, ()), channels)
    if distill.cyclegan.directions == "both" and objective.family == "cyclegan":
        assert found > taught_alone and any("relation" in name for name in found - taught_alone)
        return
    of_teacher = {"relation", "output"} if distill.relation.weight else {"alignment"}
    if objective.family == "cyclegan":
        assert found == {"d", "gan", "output"} | of_teacher
    else:
        assert found == own[objective.family] | of_teacher
