"""Distilling helps a student of a trained teacher that came as a file: it beats its like without a teacher.

A ResNet with the public code's paddings learns the street scenes by this project's own teacher stage, in a repository
of its own, .understudy/long/imported, which is kept: DVC runs only what has changed. Its weights are written as the
public code saves them, and imported in its place.
"""

import pytest
import torch
import yaml
from own_repository import commit, copy_files, done
from public_layout import Resnet
from shrunk import legacy_macs

from understudy.arch.families import load
from understudy.cost import cost
from understudy.files import read_json, sha256
from understudy.gate import STUDENT_MODEL
from understudy.metrics.protocol import MIOU, metric
from understudy.params.gate import EVALUATED
from understudy.weights import load_generator

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * 3600)]

RECIPE, BLOCKS, CHECKPOINT = "street-scenes-resnet", 6, "latest_net_G.pth"
JUDGED = (MIOU, "frechet_distance_segmenter_noresize_test", "kid_segmenter_noresize_test")


def with_teacher(root, source):
    """The recipe's parameters, for a ResNet as the public code builds it. source: None where it is to be trained."""
    values = yaml.safe_load((root / f"recipes/{RECIPE}.yaml").read_text())
    values["teacher"] |= {"source": source, "encoding": "rgb", "resnet": {"blocks": BLOCKS, "padding": "reflect"}}
    values["distill"]["discriminator"] = "fresh"  # none comes with a file
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return values


def write_checkpoint(path, arch, net):
    """The state dict of the public network with the same weights: both list their layers in the order of their use."""
    public = Resnet(arch.stem[0], BLOCKS, arch.norm)
    public.load_state_dict(dict(zip(public.state_dict(), net.state_dict().values(), strict=True)))
    torch.save(public.state_dict(), path)


@pytest.fixture(scope="module")
def root(repo):
    """Of a finished run with the imported teacher."""
    root = repo / ".understudy/long/imported"
    copy_files(repo, root)
    (root / ".git/info/exclude").write_text(f"/{CHECKPOINT}\n")
    with_teacher(root, None)
    commit(root, "a teacher to train")
    done(root, "dvc", "repro", "teacher")
    trained = root / "artifacts/teacher/weights.safetensors"
    arch, net = load_generator(root / "artifacts/teacher/arch.json", trained)
    write_checkpoint(root / CHECKPOINT, arch, net)
    before = sha256(trained)

    values = with_teacher(root, {"weights": CHECKPOINT, "sha256": sha256(root / CHECKPOINT)})
    values["prune"]["budget"] = legacy_macs(cost(arch).macs_legacy / 10)
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    commit(root, "the same teacher from a file")
    done(root, "dvc", "repro", "evaluate")
    assert sha256(trained) == before, "what was imported is what was trained"
    return root


def test_the_student_beats_its_like_without_a_teacher(root):
    teacher, student = (load(root / f"artifacts/{stage}/arch.json") for stage in ("teacher", "distill"))
    assert cost(student).macs_legacy <= 0.1 * cost(teacher).macs_legacy
    assert student == load(root / "artifacts/baseline/arch.json")
    found = read_json(root / "artifacts/evaluate/evaluation.json")
    assert not any(found["collapse"].values())
    ends = {name: found["differences"]["student_minus_baseline"][name] for name in JUDGED}
    for name, end in ends.items():
        values = [f"{model} {found['models'][model][name]['value']:.4f}" for model in (STUDENT_MODEL, *EVALUATED)]
        print(name, *values, f"student - baseline: {end['low']:.4f} to {end['high']:.4f}")
    better = {name for name, end in ends.items()
              if (end["low"] > 0 if metric(name).better == "higher" else end["high"] < 0)}  # fmt: skip
    assert better, ends
