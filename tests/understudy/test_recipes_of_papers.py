"""Recipes cost what their headers say; those with the settings of papers train as they say, on networks made tiny."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from small_recipes import SMALL
from torchvision.models import vgg19

from understudy.arch.teacher import teacher_arch
from understudy.cost import cost
from understudy.data.layouts.cityscapes import LABELS
from understudy.params.active import load_all
from understudy.params.distill import Distill
from understudy.params.gate import Gate
from understudy.params.objective import Objective, Perceptual
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.student import Student
from understudy.params.teacher import Teacher, Unet
from understudy.prune.uniform import UNIFORM
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
OF_CAT = ("horse2zebra", "zebra2horse", "cityscapes", "map2aerial", "gaugan-cityscapes-a", "gaugan-cityscapes-b")
OF_SRPKD = ("srpkd-horse2zebra-32", "srpkd-horse2zebra-16", "srpkd-cityscapes-unet-16")
CLASSES = {"street-scenes": 13, "camvid_320x240": 12, "cityscapes": len(LABELS)}


def recipes(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "path", [REPO / f"recipes/{name}.yaml" for name in names], ids=lambda path: path.stem
    )


@recipes(*OF_CAT, *OF_SRPKD, *SMALL)
def test_it_costs_what_its_header_says(path):
    stated = STATED.search(path.read_text(encoding="utf-8"))
    assert stated, "a header that states costs has both lines, in these words"
    params = load_all(path)
    classes = CLASSES.get(Path(params[Prepare].source).stem)
    assert int(stated["channels"]) == (3 if params[Teacher].encoding == "rgb" else classes + params[Prepare].instances)
    teacher = teacher_arch(params[Teacher], int(stated["channels"]), params[Prepare].size)
    assert cost(teacher).macs_legacy / 1e9 == pytest.approx(float(stated["legacy"]), rel=0.005)
    assert cost(teacher).macs_true / 1e9 == pytest.approx(float(stated["true"]), rel=0.005)
    prune, policy = params[Prune], params[Gate].policy
    if stated["most"]:  # what pruning is given, and what the gate makes sure of where it counts in the other way
        given = {
            f"{name}_g": policy[f"{name}_g"]["max"] for name in ("macs_legacy", "macs_true") if f"{name}_g" in policy
        }
        given |= prune.budget.given
        for name, most in (("macs_legacy_g", stated["student"]), ("macs_true_g", stated["student_true"])):
            assert most is None or float(most) == given[name]
        return
    counted, budget = prune.budget.counted
    assert prune.method == "uniform" and counted == "macs_legacy"  # whatever the scores
    scores = {name: np.arange(group.width, dtype=np.float32) for name, group in teacher.groups().items()}
    student = UNIFORM.select(teacher, scores, budget, counted, prune.min_width).cost
    assert student.macs_legacy / 1e9 == pytest.approx(float(stated["student"]), rel=0.005)
    assert student.macs_true / 1e9 == pytest.approx(float(stated["student_true"]), rel=0.005)


@recipes(*OF_CAT)
def test_a_student_of_cat_is_pruned_as_the_paper_counts(path):
    assert load_all(path)[Prune].budget.counted[0] == "macs_legacy"


@recipes(*SMALL)
def test_a_small_one_says_what_was_published(path):
    header = path.read_text(encoding="utf-8").partition("\nbase:")[0]
    assert "\n# Published" in header
    stated = STATED.search(header)
    assert stated["student_true"], "in both conventions"
    costs = "{legacy} ({true}) | {student} ({student_true})".format(**stated.groupdict())
    rows = (REPO / "docs/families.md").read_text(encoding="utf-8").splitlines()
    assert [costs in row for row in rows if row.startswith(f"| `{path.stem}` |")] == [True]


def test_all_are_there():
    stating = {
        path.stem for path in (REPO / "recipes").glob("*.yaml") if "\n# Teacher: " in path.read_text(encoding="utf-8")
    }
    assert stating == {*OF_CAT, *OF_SRPKD, *SMALL}


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


def test_gaugan_names_the_papers_perceptual_network():
    """torchvision's file, whose name ends in how its SHA-256 begins, at the paper's weight."""
    for name in ("gaugan-cityscapes-a", "gaugan-cityscapes-b"):
        perceptual = load_all(REPO / f"recipes/{name}.yaml")[Objective].gaugan.perceptual
        address, _, digits = perceptual.weights.removesuffix(".pth").rpartition("-")
        assert address == "https://download.pytorch.org/models/vgg19" and perceptual.weight == 10.0
        assert len(digits) == 8 and perceptual.sha256.startswith(digits)


@pytest.fixture(scope="module")
def drawn_vgg(tmp_path_factory) -> Perceptual:
    """VGG-19 with weights drawn at random, which needs no network, at the paper's weight."""
    with torch.device("meta"):  # its classifier, of which nothing is needed, has 124 million weights
        shapes = {f"features.{name}": value.shape for name, value in vgg19(weights=None).features.state_dict().items()}
    generator = torch.Generator().manual_seed(3)
    content = save({name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes.items()})
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    path.write_bytes(content)
    return Perceptual(str(path), hashlib.sha256(content).hexdigest(), 10.0)


@recipes(*OF_CAT, *OF_SRPKD)
def test_its_teacher_and_its_student_learn_from_what_the_paper_says(path, request):
    torch.manual_seed(0)
    params = load_all(path)
    objective, student, distill = params[Objective], params[Student], params[Distill]
    if objective.gaugan.perceptual:
        drawn = request.getfixturevalue("drawn_vgg")
        objective = replace(objective, gaugan=replace(objective.gaugan, perceptual=drawn))
    teacher = replace(params[Teacher], ngf=8, ndf=8, unet=Unet(5))
    channels = 3 if teacher.encoding == "rgb" else 5
    arch = teacher_arch(teacher, channels, SIZE)
    recon = weights_of(objective, teacher.lambda_gan, teacher.lambda_recon, "teacher")
    whole = alone(objective, arch, lambda playing: playing.critic(arch, teacher.ndf), recon, teacher.schedule, 0)
    own = {"pix2pix": {"d", "gan", "recon"}, "gaugan": {"d", "gan", "feature_matching", "perceptual"}}
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
