"""Training steps against a plain loop over the same networks, and against what the machine can do.

The plain loop is what one would write first: fp32, torch's default memory layout, the same losses and optimisers, the
batch already in memory. Both are timed alternately in one run, so that the ratio means something on a noisy machine.
The student's step includes its teacher's forward pass and every term that params.yaml turns on, in both loops.

Run      python -m benchmarks.train [--params FILE]
Takes    about two minutes on two CPU cores
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.teacher import teacher_arch
from understudy.cost import cost
from understudy.data.prepared import DatasetInfo, batch_indices, encode_inputs, mirror, to_unit
from understudy.losses.adversarial import hinge_discriminator, hinge_generator
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.params.base import Base
from understudy.params.distill import Distill
from understudy.params.loader import load
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.runtime import Runtime
from understudy.params.teacher import Teacher
from understudy.prune.scores import read_scores
from understudy.prune.threshold import THRESHOLD
from understudy.runtime import autocast, device, precision, seed_everything, threads
from understudy.train.distill import Distillation, adapters
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.one_way import OneWay
from understudy.train.state import State, update_average
from understudy.train.update import Batch, NoTerms, Terms, Weights

CLASSES, IMAGES = 13, 1200  # of the embedded set
RUNS = 12
FORWARD_AND_BACKWARD = 3  # passes that cost a forward pass each: one forward, two backward (input and weight)
D_PASSES = 8  # of the discriminator in a step, in forward passes: real and fake with backward (6), the generator's (2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    params = load(parser.parse_args().params, (Base, Runtime, Prepare, Teacher, Prune, Distill))
    runtime, teacher = params[Runtime], params[Teacher]
    seed_everything(params[Base].seed)
    place = device(runtime)
    arch, student = architectures(params)
    batch_size = teacher.schedule.batch_size
    ours = Forward(functools.partial(autocast, runtime, place))
    distillation = functools.partial(terms_of, arch, student, params[Distill], place)
    rate = matrix_rate(runtime)
    print(f"{place}, {threads()} threads, batch {batch_size} of {arch.size[0]}x{arch.size[1]}, "
          f"{precision(runtime, place)}")  # fmt: skip
    print(f"matrix products: {rate / 1e9:.0f} GMAC/s\n")
    print("| step | ours, images/s | plain loop, images/s | ratio | of the matrix rate | data, of a step |")
    print("| --- | --- | --- | --- | --- | --- |")
    data = data_seconds(arch, batch_size)
    for name, made, terms in (("teacher", arch, NoTerms), ("student", student, distillation)):
        fast, plain = both(made, teacher, terms, ours, place, batch_size)
        macs = batch_size * step_macs(made, teacher.ndf, arch if made is student else None)
        print(
            f"| {name} | {batch_size / fast:.1f} | {batch_size / plain:.1f} | {plain / fast:.2f} | "
            f"{macs / fast / rate:.0%} | {data / fast:.1%} |"
        )


def architectures(params: Mapping[type, Any]) -> tuple[Arch, Arch]:
    """The teacher that the parameters describe, and the student that is pruned from it, untrained as it is."""
    teacher, prune = params[Teacher], params[Prune]
    if prune.budget.counted is None:
        raise SystemExit("prune.budget: name a cost that is counted, so that every run times the same student")
    counted, budget = prune.budget.counted
    arch = teacher_arch(replace(teacher, encoding="onehot"), CLASSES, params[Prepare].size)
    scores = read_scores(network(arch).state_dict(), arch)
    return arch, THRESHOLD.select(arch, scores, budget, counted, prune.min_width).arch


def network(arch: Arch) -> nn.Module:
    net = architecture.build(arch)
    init_normal(net, torch.Generator().manual_seed(0))
    return net


def terms_of(arch: Arch, student: Arch, params: Distill, place: torch.device) -> Distillation:
    """What a student of this teacher is trained with."""
    learned = adapters(params, arch.tap_widths, student.tap_widths).to(place)
    terms = Distillation(network(arch), params, arch.taps, arch.middle, learned)
    terms.to(place)
    return terms


def both(
    arch: Arch,
    params: Teacher,
    made_terms: Callable[[], Terms],
    forward: Forward,
    place: torch.device,
    batch_size: int,
) -> tuple[float, float]:
    """Median seconds of a step of ours and of the plain loop, taken in turn."""
    last = torch.channels_last
    fast = new_state(arch, params, place, last)
    plain = new_state(arch, params, place, torch.contiguous_format)
    weights = Weights(params.lambda_gan, params.lambda_recon)
    batch = random_batch(arch, place, batch_size)
    quick = Batch(batch.inputs.contiguous(memory_format=last), batch.photos.contiguous(memory_format=last))
    terms = made_terms()

    def our_step() -> None:
        OneWay(PIX2PIX, weights, terms)(fast, quick, forward)
        update_average(fast, params.schedule.ema_decay)

    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for index in range(RUNS + 2):
        for name, run in (("ours", our_step), ("plain", lambda: plain_step(plain, batch, weights, terms))):
            start = time.perf_counter()
            run()
            if batch.inputs.is_cuda:
                torch.cuda.synchronize()
            if index >= 2:  # warm by then
                times[name].append(time.perf_counter() - start)
    return statistics.median(times["ours"]), statistics.median(times["plain"])


def plain_step(state: State, batch: Batch, weights: Weights, terms: Terms) -> None:
    """The step as one would write it first."""
    output = state.generator(batch.inputs, taps=terms.taps)
    fake, features = output if terms.taps else (output, {})
    state.optimizer_d.zero_grad()
    real_logits = state.discriminator(torch.cat([batch.inputs, batch.photos], 1))
    fake_logits = state.discriminator(torch.cat([batch.inputs, fake.detach()], 1))
    (0.5 * hinge_discriminator(real_logits, fake_logits)).backward()
    state.optimizer_d.step()
    state.optimizer_g.zero_grad()
    loss = weights.gan * hinge_generator(state.discriminator(torch.cat([batch.inputs, fake], 1)))
    loss = loss + weights.recon * F.l1_loss(fake, batch.photos)
    for term in terms(batch, fake, features, Forward()).values():
        loss = loss + term
    loss.backward()
    state.optimizer_g.step()


def new_state(arch: Arch, params: Teacher, place: torch.device, layout: torch.memory_format) -> State:
    critic = PatchDiscriminator(arch.input_channels + arch.output_channels, params.ndf, "batch")
    init_normal(critic, torch.Generator().manual_seed(1))
    nets = [net.to(device=place, memory_format=layout) for net in (network(arch), critic)]  # type: ignore[call-overload]
    return State.start(nets[0], nets[1], nn.ModuleDict(), params.schedule.learning_rate)


def random_batch(arch: Arch, place: torch.device, batch_size: int) -> Batch:
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(CLASSES, (batch_size, *arch.size), generator=generator)
    inputs = F.one_hot(labels, CLASSES).permute(0, 3, 1, 2).float()
    photos = torch.rand(batch_size, 3, *arch.size, generator=generator) * 2 - 1
    return Batch(inputs.contiguous().to(place), photos.to(place))


def data_seconds(arch: Arch, batch_size: int) -> float:
    """Median seconds that it takes to make a training batch, as the session makes it, from the embedded set's size."""
    palette = tuple((i, i, i) for i in range(CLASSES))
    info = DatasetInfo("timing", "labels", arch.size, tuple(map(str, range(CLASSES))), palette, None, "", {})
    photos = torch.zeros(IMAGES, 3, *arch.size, dtype=torch.uint8)
    labels = torch.zeros(IMAGES, *arch.size, dtype=torch.uint8)
    times = []
    for index in range(50):
        start = time.perf_counter()
        chosen, flips = batch_indices(IMAGES, batch_size, 0, index)
        encode_inputs(mirror(labels[chosen], flips), "onehot", info).contiguous(memory_format=torch.channels_last)
        to_unit(mirror(photos[chosen], flips)).contiguous(memory_format=torch.channels_last)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def step_macs(arch: Arch, ndf: int, teacher: Arch | None) -> float:
    """Multiply-accumulates of one image's share of a training step, true convention, losses and optimisers aside."""
    height, width = arch.size
    channels = arch.input_channels + arch.output_channels
    critic, size = 0.0, (height, width)
    widths = (channels, ndf, 2 * ndf, 4 * ndf, 8 * ndf, 1)
    for cin, cout, stride in zip(widths, widths[1:], (2, 2, 2, 1, 1), strict=False):
        size = (size[0] // 2, size[1] // 2) if stride == 2 else (size[0] - 1, size[1] - 1)
        critic += cin * cout * 16 * size[0] * size[1]
    watched = cost(teacher).macs_true if teacher else 0
    return FORWARD_AND_BACKWARD * cost(arch).macs_true + D_PASSES * critic + watched


def matrix_rate(runtime: Runtime) -> float:
    """Multiply-accumulates a second of a large matrix product in the precision of training, the best of several."""
    side = 2048
    place = device(runtime)
    dtype = torch.bfloat16 if precision(runtime, place) == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=place).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        if a.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return side**3 / best


if __name__ == "__main__":
    main()
