"""A teacher that other code has trained, brought to where a trained one would be: scored, and with nothing trained."""

import contextlib
import functools
import time
from dataclasses import dataclass, replace

import torch

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.teacher import teacher_arch
from understudy.cost import cost
from understudy.data.checked import require_checked
from understudy.data.prepared import DatasetInfo, blank_inputs, load_info
from understudy.errors import UserError
from understudy.fetch import read_verified
from understudy.files import write_json, write_text
from understudy.foreign.fitting import fitted
from understudy.foreign.pix2pix import recognise
from understudy.models.generator import Generator
from understudy.params.base import Base
from understudy.params.objective import Objective
from understudy.params.runtime import Runtime
from understudy.params.teacher import Teacher
from understudy.runtime import determinism, device, seed_everything, threads
from understudy.stage import Job, Plan
from understudy.state_dict import read_state
from understudy.tensors import save_weights
from understudy.train.games import Game, game
from understudy.train.log import write_table
from understudy.train.partners import Partners, save_partners
from understudy.train.setting import require_kind, seeded
from understudy.train.validation import Validation, translate

KEY = "teacher.source"
TIMED = 4  # images, to tell how long the validation split will take


@dataclass(frozen=True)
class Imported:
    """info: of the data that it is to translate. arch, generator: as recovered from the file `weights`, on the CPU."""

    weights: str
    info: DatasetInfo
    arch: Arch
    generator: Generator


@functools.cache  # the plan and the run of one job look at the same one
def imported(job: Job) -> Imported:
    """The generator of `teacher.source`, which must be given.

    Raises UserError when the file cannot be used, or not with these data.
    """
    params = job.params(Teacher)
    assert params.source is not None
    require_checked(job)
    info, weights = load_info(job.input("prepare/dataset.json")), params.source.weights
    require_kind(job.params(Objective), info)
    data = read_verified(weights, params.source.sha256, f"{KEY}.weights")
    seed_everything(job.params(Base).seed)
    return Imported(weights, info, *taken(data, params, info, f"{KEY}: {weights}"))


def taken(data: bytes, params: Teacher, info: DatasetInfo, where: str) -> tuple[Arch, Generator]:
    """The generator of a file's content, on the CPU in eval mode. where: what to call the file in errors.

    Raises UserError when it is damaged, no generator of the layout that `params` name, or not for these data.
    """
    tensors = read_state(data, where)
    if params.family == "custom":
        arch = teacher_arch(params, info.input_channels(params.encoding), info.size)
        layers = [*(conv.name for conv in arch.convolutions()), *(norm.name for norm in arch.norms())]
        state = fitted(tensors, arch, {name: name for name in layers}, where)
    else:
        arch, state = recognise(tensors, info.size, params.encoding, where)
    if arch.input_channels != (given := info.input_channels(params.encoding)):
        raise UserError(
            f"{where}: takes {arch.input_channels} input channels, and inputs of {info.name} have {given} as "
            f"{params.encoding}; set teacher.encoding to what the network was trained on (rgb: 3 channels)"
        )
    generator = architecture.build(arch)
    generator.load_state_dict(state)
    return arch, generator.eval()


def plan(job: Job) -> Plan:
    """What the import would do. No image is translated but a few, to tell the time."""
    found = imported(job)
    counted = cost(found.arch)
    inputs = blank_inputs(found.info, TIMED)
    place, seconds = device(job.params(Runtime)), 0.0
    generator = found.generator.to(place)
    for _ in range(2):  # the first pass pays for set-up
        start = time.perf_counter()
        translate(generator, inputs, found.arch.encoding, found.info, place, contextlib.nullcontext)
        seconds = time.perf_counter() - start
    seconds *= found.info.counts["val"] / TIMED
    return {
        "imported": f"{found.arch.depth}, {found.arch.norm} norm; nothing is trained",
        "images": f"val {found.info.counts['val']}",
        "size": "x".join(map(str, found.info.size)),
        "MACs": f"{counted.macs_true / 1e9:.4f} G true, {counted.macs_legacy / 1e9:.4f} G legacy",
        "parameters": f"{counted.params:,}",
        "device": f"{place}, {threads()} threads",
        "expected time": f"{seconds:.0f} s (a few images, just timed)",
    }


def _game_of_the_critic(objective: Objective) -> Game:
    """Without VGG's distance: a term of the generator's, whose weights nobody needs who makes a discriminator alone."""
    return game(replace(objective, gaugan=replace(objective.gaugan, perceptual=None)))


def write(job: Job) -> None:
    """Write what the teacher's stage writes: curves without a point, and a discriminator that knows nothing yet.

    Raises UserError when its images cannot be scored; a collapse is only said, as evaluate says it too.
    """
    found, place = imported(job), device(job.params(Runtime))
    generator = found.generator.to(place)
    validation = Validation(job, found.info, found.arch.encoding, place, contextlib.nullcontext)
    scores = validation.score(generator)
    if not all(torch.isfinite(torch.tensor(list(scores.values())))):
        raise UserError(f"{KEY}: its translations of the validation split cannot be scored: {scores}")
    architecture.save(found.arch, job.output("teacher/arch.json"))
    save_weights(generator, job.output("teacher/weights.safetensors"))
    playing = _game_of_the_critic(job.params(Objective))
    critic = playing.critic(found.arch, job.params(Teacher).ndf)
    playing.initialise(critic, seeded(job.params(Base).seed, "discriminator"))
    save_partners(Partners(critic, trained=False), job.output("teacher"))
    write_text(job.output("teacher/curves.csv"), "step,recon,distance\n")
    write_table(job.output("teacher/validation.csv"), [(0, scores)], validation.columns)
    validation.draw(generator, job.output("teacher/samples.png"))
    write_json(job.output("teacher/metrics.json"), {"best_step": 0, "determinism": determinism(place), **scores})
    if failure := validation.find_collapse(generator):
        print(f"teacher: {failure}; docs/import-a-teacher.md says what must fit")
    told = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    print(f"teacher: imported {found.arch.depth}, {found.arch.norm} norm, from {found.weights}: {told}")
