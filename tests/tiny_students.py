"""Finished runs in miniature: drawn data, a judge that learnt, and students of chosen quality, evaluated and judged.

Everything is made by the stages' own code, but the generators: those learn colours from pairs for as many steps as
asked for, so that one student is really better than another.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from three_kinds import write_prepared
from torch import nn

from stages import evaluate, gate, judge
from understudy.arch import families as architecture
from understudy.arch.resnet import resnet
from understudy.data.prepared import encode_inputs, load_info, load_split, to_unit
from understudy.gate import DATASET
from understudy.metrics.protocol import MIOU
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.gate import Gate
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime
from understudy.params.scoring import Scoring
from understudy.stage import Job
from understudy.tensors import save_weights

SIZE = 32
COUNTS = {"train": 24, "val": 6, "test": 24}
REPO = Path(__file__).parents[1]
SCORING = Scoring(Base(0), Runtime("cpu", "fp32"), Evaluate(40, 2, None, None))
POLICY = {MIOU: {"min": 0.05, "max_worse_than_champion": 0.02}}
MODEL = "tiny"


def write_run(root: Path, policy: Mapping[str, Any] = POLICY) -> None:
    """Data, a trained judge, a teacher, a baseline, and parameters that go with them; no student yet."""
    write_prepared(root, "labels", SIZE, COUNTS)
    judge.run(Job("judge", root, {Base: Base(0), Runtime: SCORING.runtime, Judge: Judge(1, 8, 60, 8, 4e-3)}))
    for stage, steps in (("teacher", 40), ("baseline", 2)):
        write_generator(root, root / "artifacts" / stage, steps, 0)
    shipped = yaml.safe_load((REPO / "params.yaml").read_text(encoding="utf-8"))
    shipped["runtime"] = {"device": "cpu", "precision": "fp32"}
    shipped["evaluate"] |= {"resamples": 40, "latency_runs": 2}
    shipped["registry"]["model"] = MODEL
    shipped["gate"] = {metric: dict(rules) for metric, rules in policy.items()}
    (root / "params.yaml").write_text(yaml.safe_dump(shipped), encoding="utf-8")


def write_student(root: Path, steps: int, seed: int = 0, policy: Mapping[str, Any] = POLICY) -> Gate:
    """A student that learnt for so many steps, evaluated, with its verdict; and the policy."""
    write_generator(root, root / "artifacts/distill", steps, seed)
    evaluate.scene.cache_clear()
    evaluate.run(Job("evaluate", root, {Base: SCORING.base, Runtime: SCORING.runtime, Evaluate: SCORING.evaluate}))
    return write_verdict(root, policy)


def write_verdict(root: Path, policy: Mapping[str, Any] = POLICY) -> Gate:
    """The verdict on the student at hand; and the policy."""
    asked = Gate.parse({metric: dict(rules) for metric, rules in policy.items()}, f"{root}/params.yaml: gate")
    gate.run(Job("gate", root, {Gate: asked}))
    return asked


def write_generator(root: Path, folder: Path, steps: int, seed: int) -> None:
    arch = resnet(4, 3, "instance_affine", "reflect", "onehot", 3, (SIZE, SIZE))
    architecture.save(arch, folder / "arch.json")
    net = architecture.build(arch)
    net.load_state_dict(_trained(root, steps, seed))
    save_weights(net, folder / "weights.safetensors")


@cache
def _trained(root: Path, steps: int, seed: int) -> dict[str, Any]:
    """Weights of a generator that saw the training pairs for `steps` steps of 12."""
    info = load_info(root / DATASET)
    pairs = load_split(root / "artifacts/prepare/train.zip", info)
    torch.manual_seed(seed)
    net = architecture.build(resnet(4, 3, "instance_affine", "reflect", "onehot", 3, (SIZE, SIZE)))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(steps):
        some = slice(12 * (step % 2), 12 * (step % 2) + 12)
        made = net(encode_inputs(pairs.inputs[some], "onehot", info))
        optimizer.zero_grad()
        nn.functional.l1_loss(made, to_unit(pairs.photos[some])).backward()
        optimizer.step()
    return net.state_dict()
