import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from stages import prune
from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.unet import unet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.files import sha256
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.params.prune import Budget, Prune
from understudy.params.runtime import Runtime
from understudy.prune import stopwatch
from understudy.prune.surgery import inherit
from understudy.stage import Job
from understudy.tensors import save_weights
from understudy.train.partners import Partners, save_partners
from understudy.weights import load_generator

SMALL = inception(8, 3, 4, "batch", "reflect", "onehot", 12, (32, 32))
NONE = Budget(macs_true_g=None, macs_legacy_g=None, params_m=None, latency_ms=None)
BUDGET = Prune(method="threshold", budget=replace(NONE, macs_true_g=0.004), min_width=4, inherit="all")


def job(root: Path, params: Prune = BUDGET) -> Job:
    return Job("prune", root, {Prune: params, Runtime: Runtime("cpu", "bf16")})


def teacher(root: Path, arch: Arch) -> None:
    net = architecture.build(arch)
    init_normal(net, torch.Generator().manual_seed(0))
    architecture.save(arch, root / "artifacts/teacher/arch.json")
    save_weights(net, root / "artifacts/teacher/weights.safetensors")
    save_partners(Partners(PatchDiscriminator(6, 4, "batch")), root / "artifacts/teacher")


@pytest.mark.parametrize(("method", "level"), [("threshold", "threshold"), ("uniform", "factor")])
@pytest.mark.parametrize(
    ("arch", "scores"),
    [
        (SMALL, "norm scales"),
        (resnet(8, 3, "batch", "zero", "onehot", 12, (32, 32)), "norm scales"),
        (resnet(8, 3, "instance", "zero", "onehot", 12, (32, 32)), "weight magnitude"),
        (unet(16, 5, "batch", "onehot", 12, (32, 32)), "norm scales"),
        (unet(16, 5, "instance", "onehot", 12, (32, 32)), "weight magnitude"),
    ],
    ids=["inception", "resnet-batch", "resnet-instance", "unet-batch", "unet-instance"],
)
def test_everything_that_the_student_needs_is_made(arch, scores, method, level, tmp_path):
    teacher(tmp_path, arch)
    work = job(tmp_path, replace(BUDGET, method=method))
    assert prune.plan(work)["scores"] == scores
    prune.run(work)
    made = tmp_path / "artifacts/prune"
    assert {path.name for path in made.iterdir()} == {
        "arch.json", "inherited.safetensors", "diff.txt", "widths.png", "metrics.json"}  # fmt: skip
    student = architecture.load(made / "arch.json")
    assert type(student) is type(arch)
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["macs_true_g"] == cost(student).macs_true / 1e9 <= 0.004
    assert metrics["times_fewer_macs_legacy"] == cost(arch).macs_legacy / cost(student).macs_legacy
    inherit(architecture.build(student), made / "inherited.safetensors")
    assert metrics["scores"] == scores and metrics[level] > 0
    text = (made / "diff.txt").read_text()
    assert text.startswith(f"scores: {scores}\nmethod: {method}, {level} {metrics[level]:.4g}\n")
    assert f"{cost(student).params:,}" in text
    with Image.open(made / "widths.png") as picture:
        assert picture.format == "PNG"
    first = {path.name: path.read_bytes() for path in made.iterdir()}
    prune.run(work)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == first


def test_the_plan_names_the_teacher_s_cost_and_the_budget_s_share(tmp_path):
    teacher(tmp_path, SMALL)
    plan = prune.plan(job(tmp_path))
    assert plan["teacher"] == f"{cost(SMALL).macs_true / 1e9:.4g} GMACs (true) for one image of 32x32"
    assert plan["budget"] == f"{4e6 / cost(SMALL).macs_true:.1%} of it"


@pytest.mark.parametrize("method", ["threshold", "uniform"])
def test_a_budget_of_parameters_is_met_and_planned(method, tmp_path, capsys):
    teacher(tmp_path, SMALL)
    most = 0.3 * cost(SMALL).params
    work = job(tmp_path, replace(BUDGET, method=method, budget=replace(NONE, params_m=most / 1e6)))
    plan = prune.plan(work)
    assert plan["teacher"] == f"{cost(SMALL).params / 1e6:.4g} M parameters for one image of 32x32"
    assert plan["budget"] == "30.0% of it"
    prune.run(work)
    student = architecture.load(tmp_path / "artifacts/prune/arch.json")
    assert 0.9 * most <= cost(student).params <= most
    assert "below the budget" not in capsys.readouterr().out


def test_where_no_network_is_near_a_budget_the_next_one_is_told(tmp_path, capsys):
    """A narrow generator has few factors that change its widths: here 20 % or 29 % of the parameters stay."""
    arch = resnet(4, 3, "batch", "zero", "onehot", 12, (32, 32))
    teacher(tmp_path, arch)
    most = 0.27 * cost(arch).params
    work = job(tmp_path, Prune("uniform", replace(NONE, params_m=most / 1e6), 1, "none"))
    prune.run(work)
    own = cost(architecture.load(tmp_path / "artifacts/prune/arch.json")).params
    told = re.search(r"([\d.]+) M parameters are (\d+)% below the budget: the next wider network has ([\d.]+)\n",
                     capsys.readouterr().out)  # fmt: skip
    assert float(told[1]) == pytest.approx(own / 1e6, rel=1e-5) and int(told[2]) == 27
    assert float(told[3]) > most / 1e6


@pytest.fixture
def in_short(monkeypatch):
    """The stopwatch as it is, with less patience."""
    monkeypatch.setattr(stopwatch, "BLOCK_MS", 5.0)
    monkeypatch.setattr(stopwatch, "MOST_ROUNDS", 7)


@pytest.fixture
def by_parameters(monkeypatch):
    """A clock that gives each network a time by its parameters, and every other timing 1 % more."""
    calls = count()

    def timed(net: nn.Module, inputs: torch.Tensor, runs: int) -> dict[str, float]:
        own = 1.0 + sum(weight.numel() for weight in net.parameters()) / 1e3
        return {"mean_ms": own * (1.01 if next(calls) % 2 else 1.0)}

    monkeypatch.setattr(stopwatch, "latency_ms", timed)
    return lambda arch: timed(architecture.build(arch), torch.empty(0), 1)["mean_ms"]


@pytest.mark.parametrize("method", ["threshold", "uniform"])
def test_a_budget_of_milliseconds_ends_with_a_network_and_a_record(method, by_parameters, tmp_path, capsys):
    teacher(tmp_path, SMALL)
    budget = replace(NONE, latency_ms=0.6 * by_parameters(SMALL))
    work = job(tmp_path, replace(BUDGET, method=method, budget=budget))
    assert f"{budget.latency_ms:g} ms for one image, the network alone, fp32 on cpu" in prune.plan(work)["budget"]
    record = tmp_path / ".understudy/prune/latency.json"
    prune.run(work)
    assert "ms, measured again, of" in capsys.readouterr().out
    found = json.loads(record.read_text())
    assert 0.9 * budget.latency_ms <= found["student_ms"] <= found["budget_ms"] == budget.latency_ms
    assert found["device"] == "cpu" and found["threads"] == torch.get_num_threads()
    made = tmp_path / "artifacts/prune"
    assert found["files"] == {"artifacts/prune/arch.json": sha256(made / "arch.json")}
    student = architecture.load(made / "arch.json")
    assert str(cost(student).macs_true) in found["readings"]
    assert 0.88 * budget.latency_ms <= by_parameters(student) <= 1.02 * budget.latency_ms
    inherit(architecture.build(student), made / "inherited.safetensors")
    assert not any("latency" in path.read_text() for path in (made / "metrics.json", made / "diff.txt"))

    prune.run(job(tmp_path))  # by MACs: what was measured is of another budget
    assert not record.exists()


@pytest.mark.parametrize("method", ["threshold", "uniform"])
@pytest.mark.parametrize(("latency_ms", "message"), [(1e-6, "cannot be reached: with "), (1e6, "no less than what")])
def test_milliseconds_out_of_reach_are_refused_with_what_was_measured(latency_ms, message, method, in_short, tmp_path):
    teacher(tmp_path, SMALL)
    work = job(tmp_path, replace(BUDGET, method=method, budget=replace(NONE, latency_ms=latency_ms)))
    with pytest.raises(UserError, match=rf"prune\.budget\.latency_ms: .* ms .*{message}.* [\d.]+ ms"):
        prune.run(work)
    assert not (tmp_path / "artifacts/prune").exists()


@pytest.mark.parametrize("method", ["threshold", "uniform"])
def test_a_budget_out_of_reach_is_an_error_of_the_plan_already(method, tmp_path):
    teacher(tmp_path, SMALL)
    with pytest.raises(UserError, match="cannot be reached"):
        prune.plan(job(tmp_path, replace(BUDGET, method=method, budget=replace(NONE, macs_true_g=1e-6))))


@pytest.mark.parametrize(
    ("arch", "budget", "message"),
    [
        (None, 0.004, "dvc repro teacher"),
        (SMALL, 1e-6, "cannot be reached"),
        (inception(8, 3, 4, "instance_affine", "zero", "rgb", 3, (32, 32)), 0.004, "train it before pruning"),
        (unet(8, 5, "batch", "rgb", 3, (32, 32)), 1e-6, "cannot be reached"),
    ],
    ids=["missing", "unreachable", "untrained", "unreachable-unet"],
)
def test_a_teacher_that_cannot_be_pruned_leaves_nothing_behind(arch, budget, message, tmp_path):
    if arch is not None:
        teacher(tmp_path, arch)
    with pytest.raises(UserError, match=message):
        prune.run(job(tmp_path, replace(BUDGET, budget=replace(NONE, macs_true_g=budget))))
    assert not (tmp_path / "artifacts/prune").exists()


def test_damaged_weights_are_named(tmp_path):
    teacher(tmp_path, SMALL)
    weights = tmp_path / "artifacts/teacher/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"weights\.safetensors: damaged"):
        prune.run(job(tmp_path))


@pytest.mark.slow
def test_the_command_shows_its_plan_and_fails_in_one_line(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(
        "runtime: {device: cpu, precision: fp32}\n"
        "prune: {method: threshold, min_width: 4, inherit: none,\n"
        "  budget: {macs_true_g: null, macs_legacy_g: 0.000001, params_m: null, latency_ms: null}}"
    )
    teacher(tmp_path, SMALL)
    command = [sys.executable, "-m", "stages.prune", "--params", str(params), "--root", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and not (tmp_path / "artifacts/prune").exists()
    assert done.stderr.startswith("prune: prune.budget.macs_legacy_g: 1e-06 GMACs (legacy) cannot")
    assert done.stderr.count("\n") == 1


def test_the_other_direction_s_student_inherits_from_its_own_teacher(tmp_path):
    """Both students have one architecture; the strongest channels of each teacher survive in its own."""
    arch = inception(8, 3, 4, "batch", "reflect", "rgb", 3, (32, 32))
    teacher(tmp_path, arch)
    reverse = architecture.build(arch)
    init_normal(reverse, torch.Generator().manual_seed(1))
    critics = [PatchDiscriminator(3, 4, "batch") for _ in range(2)]
    save_partners(Partners(critics[0], critics[1], reverse), tmp_path / "artifacts/teacher")
    prune.run(job(tmp_path))
    made = tmp_path / "artifacts/prune"
    student = architecture.load(made / "arch.json")
    nets = {way: architecture.build(student) for way in ("main", "reverse")}
    for way, net in nets.items():
        inherit(net, made / "inherited.safetensors", way)
    folder = tmp_path / "artifacts/teacher"
    _, own = load_generator(folder / "arch.json", folder / "weights.safetensors")
    for net, source in ((nets["main"], own), (nets["reverse"], reverse)):
        for name, value in net.state_dict().items():
            if name.endswith(("conv.1.norm.weight", "down.0.norm.weight")):
                theirs = source.state_dict()[name].sort(descending=True).values[: len(value)]
                assert torch.equal(value.sort(descending=True).values, theirs)
