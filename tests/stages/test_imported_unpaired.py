"""A CycleGAN's generator that other code has trained, without its other direction, from its file to a verdict."""

import csv
from pathlib import Path

import pytest
import torch
import yaml
from public_layout import Resnet
from shrunk import legacy_macs
from three_kinds import write_prepared

from stages import baseline, distill, evaluate, gate, judge, prune, teacher
from understudy.arch.families import load as load_arch
from understudy.arch.resnet import resnet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.files import read_json, sha256
from understudy.params.loader import load
from understudy.stage import Job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REPO = Path(__file__).parents[2]
NGF, SIZE = 8, (32, 32)
ARCH = resnet(NGF, 9, "instance", "reflect", "rgb", 3, SIZE)
BUDGET = cost(ARCH).macs_legacy / 5
JUDGED = "target_share_classifier_noresize_test"


def write_checkpoint(path):
    """As the public code writes latest_net_G_A.pth: resnet_9blocks, instance norms without scales."""
    net, generator = Resnet(NGF, 9, "instance"), torch.Generator().manual_seed(0)
    for value in net.state_dict().values():
        value.normal_(0, 0.1, generator=generator)
    torch.save(net.state_dict(), path)


def parameters(path):
    values = yaml.safe_load((REPO / "params.yaml").read_text())
    schedule = {"constant_steps": 5, "decay_steps": 5, "batch_size": 2, "validate_every": 10, "checkpoint_every": 10}
    values["runtime"] = {"device": "cpu", "precision": "fp32"}
    values["judge"] |= {"width": 8, "steps": 20, "batch_size": 8}
    values["objective"]["family"] = "cyclegan"
    values["teacher"] |= {
        "source": {"weights": str(path), "sha256": sha256(path)}, "encoding": "rgb", "ndf": 8, "lambda_recon": 0.0,
    }  # fmt: skip
    values["student"]["lambda_recon"] = 0.0
    values["student"]["schedule"] |= schedule
    values["prune"] |= {"budget": legacy_macs(BUDGET), "min_width": 2}
    values["distill"]["discriminator"] = "fresh"
    values["evaluate"] |= {"resamples": 40, "latency_runs": 2}
    values["gate"] = {JUDGED: {"min": 0.0}, "macs_legacy_g": {"max": BUDGET / 1e9}}
    return values


def job(root, stage):
    name = stage.__name__.removeprefix("stages.")
    return Job(name, root, load(root / "params.yaml", stage.READS))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """With the teacher imported and pruned."""
    root = tmp_path_factory.mktemp("unpaired")
    write_prepared(root, "unpaired")
    write_checkpoint(root / "latest_net_G_A.pth")
    (root / "params.yaml").write_text(yaml.safe_dump(parameters(root / "latest_net_G_A.pth")))
    for stage in (judge, teacher, prune):
        stage.run(job(root, stage))
    return root


def test_its_student_is_of_one_direction_and_gets_a_verdict(root):
    made = root / "artifacts"
    assert load_arch(made / "teacher/arch.json") == ARCH
    partners = read_json(made / "teacher/partners.json")
    assert not partners["two_way"] and not partners["trained"]
    assert partners["critic"] == {"family": "patch", "input_channels": 3, "ndf": 8, "norm": "instance_affine"}
    assert read_json(made / "prune/metrics.json")["scores"].startswith("weight magnitude")
    for stage in (distill, baseline, evaluate, gate):
        stage.run(job(root, stage))
    student = load_arch(made / "distill/arch.json")
    assert student.norm == "instance" and cost(student).macs_legacy <= BUDGET
    columns = {}
    for stage in ("distill", "baseline"):
        with (made / stage / "curves.csv").open() as stream:
            columns[stage] = set(next(csv.reader(stream)))
    assert {"output", "alignment", "relation", "gan"} <= columns["distill"] and "cycle" not in columns["distill"]
    assert {"cycle", "cycle_reverse", "identity"} <= columns["baseline"]
    models = read_json(made / "evaluate/evaluation.json")["models"]
    assert all(JUDGED in models[model] for model in ("teacher", "student", "baseline"))
    rules = read_json(made / "gate/verdict.json")["rules"]
    assert {(rule["metric"], rule["outcome"]) for rule in rules} >= {(JUDGED, "passed"), ("macs_legacy_g", "passed")}


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        (distill, {"distill": {"cyclegan": {"directions": "both"}}},
         "distill.cyclegan.directions: both: the teacher was imported, and not its other direction; set it to one"),
        (distill, {"distill": {"discriminator": "teacher"}}, "distill.discriminator: teacher: .* set it to fresh"),
        (teacher, {"objective": {"family": "pix2pix"}}, "objective.family: pix2pix: .* has no pairs; set it to cyc"),
        (teacher, {"teacher": {"encoding": "onehot"}}, "takes 3 input channels, and inputs of drawn have 0 as onehot; "
                                                       "set teacher.encoding"),
    ],
    ids=["both directions", "warm discriminator", "pairs", "encoding"],
)  # fmt: skip
def test_what_an_imported_generator_cannot_do_is_one_error(section, change, message, root, tmp_path):
    values = yaml.safe_load((root / "params.yaml").read_text())
    for name, fields in change.items():
        values[name] |= fields
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(values))
    name = section.__name__.removeprefix("stages.")
    with pytest.raises(UserError, match=message) as caught:
        section.plan(Job(name, root, load(tmp_path / "other.yaml", section.READS)))
    assert "\n" not in str(caught.value)
