"""From a stage's inputs to a trained generator: what the teacher's, the student's and the baseline's stages share."""

import copy
import functools
import time
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from understudy.arch import families as architecture
from understudy.cost import cost
from understudy.data.checked import RESULT, require_checked
from understudy.data.prepared import (
    batch_indices,
    encode_inputs,
    load_info,
    load_split,
    mirror,
    to_unit,
    windows,
)
from understudy.data.terms import Side
from understudy.errors import UserError
from understudy.files import write_json
from understudy.memory import ran_out, wording
from understudy.params.base import Base
from understudy.params.loader import section_name
from understudy.params.objective import Objective
from understudy.params.runtime import Runtime
from understudy.processes import leads, local_size, size
from understudy.runtime import (
    autocast,
    determinism,
    device,
    precision,
    random_state,
    restore_random_state,
    seed_everything,
    threads,
)
from understudy.stage import Job, Plan
from understudy.tensors import save_weights
from understudy.train import checkpoint, log, loop
from understudy.train.checkpoint import fingerprint
from understudy.train.cyclegan import MAIN, REVERSE
from understudy.train.division import has_batch_norms, require_divisible, synchronised
from understudy.train.exchange import apart, join, leave, require_same, share
from understudy.train.expected_memory import forget_peak, leave_note, peak
from understudy.train.forward import Autocast, Forward
from understudy.train.load import Load, too_much
from understudy.train.log import Log, start_tracker, write_curve
from understudy.train.partners import Partners
from understudy.train.setting import Setting, require_kind
from understudy.train.state import State
from understudy.train.update import Batch
from understudy.train.validation import Validation

DATA = ("prepare/dataset.json", "prepare/train.zip", "prepare/val.zip", RESULT)
JUDGE = ("judge/judge.json", "judge/weights.safetensors")
# What `dvc plots` draws of a training's losses, whatever its objective: how far an image is from what it should be, and
# from its teacher.
CURVES = {
    "distance": ("recon", "cycle", "output", "feature_matching"),
    "teaching": ("alignment", "relation", "output", "feature"),
}
TIMED_STEPS = 3  # taken on copies to tell how long a training will take


class Session:
    """One training, ready to start: data loaded, networks built, nothing trained yet. Reads sections Base, Runtime and
    Objective."""

    def __init__(self, job: Job, setting: Setting) -> None:
        self.job, self.setting = job, setting
        self.seed = job.params(Base).seed
        seed_everything(self.seed)
        runtime = job.params(Runtime)
        self.device = device(runtime)
        self.precision = precision(runtime, self.device)
        self.autocast: Autocast = functools.partial(autocast, runtime, self.device)
        self.forward = Forward(self.autocast, setting.schedule.micro_batch)
        require_divisible(setting, self.device)
        join(self.device)
        inputs = [job.input(name) for name in (*DATA, *JUDGE, *setting.inputs)]
        require_checked(job)
        sections = {section.__name__: asdict(values) for section, values in job.sections.items()}
        # A network of the user's own can change while no parameter does.
        machine = {"device": self.device.type, "precision": self.precision}
        chosen = {**sections, **machine, "arch": asdict(setting.arch)}
        self.fingerprint = fingerprint(chosen, inputs)
        require_same(self.fingerprint)
        setting.arch.require_batch(setting.schedule.batch_size)
        self.info = load_info(job.input("prepare/dataset.json"))
        self.info.require_fit(setting.arch.input_channels, setting.arch.encoding, f"{job.stage}'s generator")
        require_kind(job.params(Objective), self.info)
        split = load_split(job.input("prepare/train.zip"), self.info)
        self.photos, self.inputs = split.photos.to(self.device), split.inputs.to(self.device)
        place = functools.partial(nn.Module.to, device=self.device, memory_format=torch.channels_last)
        self.state = State.start(
            synchronised(place(setting.generator)),
            synchronised(place(setting.discriminator)),
            place(setting.adapters),
            setting.schedule.learning_rate,
            setting.pools.to(self.device),
            setting.update.rates,
        )
        setting.update.to(self.device)
        self.validation = Validation(job, self.info, setting.arch.encoding, self.device, self.autocast)

    def batch(self, index: int) -> Batch:
        """This process's share of the batch of step `index` (from 0), which is the same for every network that trains
        with this seed and batch size."""
        unpaired = self.info.kind == "unpaired"
        inputs = encode_inputs(self._drawn(self.inputs, index, "input"), self.setting.arch.encoding, self.info)
        photos = to_unit(self._drawn(self.photos, index, "photo" if unpaired else "input"))
        channels_last = torch.channels_last
        return Batch(inputs.contiguous(memory_format=channels_last), photos.contiguous(memory_format=channels_last))

    def _drawn(self, images: Tensor, index: int, side: Side) -> Tensor:
        """Images of a split as step `index` sees them: chosen, cut to size, mirrored. uint8 [share of B, ..., H, W]."""
        drawn = batch_indices(len(images), self.setting.schedule.batch_size, self.seed, index, side)
        chosen, flips = (part.to(self.device) for part in drawn)
        return share(mirror(windows(images[chosen], self.info.size, self.seed, index, side), flips))

    def step(self, index: int, state: State | None = None) -> Mapping[str, Tensor]:
        """Take one step, on the session's own state unless another is given.

        Raises UserError, naming how many images at once fit, when it takes more memory than there is.
        """
        try:
            return self.setting.update(state or self.state, self.batch(index), self.forward)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            said = wording(error)
        # Out here, where the failed step's tensors are gone with its traceback.
        trial = functools.cache(self._copied)
        raise too_much(
            self.load, said, lambda *images: self._attempt(state or trial(), self.batch(0), *images), self.device
        )

    def plan(self) -> Plan:
        """What training would do, with the time it would take: a few steps are timed, on copies."""
        setting = self.setting
        counted = cost(setting.arch)
        seconds, memory = self._measured()
        return {
            "images": ", ".join(f"{split} {count}" for split, count in self.info.counts.items()),
            "size": "x".join(map(str, self.info.size)),
            "MACs": f"{counted.macs_true / 1e9:.4f} G true, {counted.macs_legacy / 1e9:.4f} G legacy",
            "parameters": f"{counted.params:,}",
            "steps": setting.schedule.steps,
            "device": f"{self.device}, {threads()} threads{_company()}, {self.precision}",
            "expected time": f"{seconds * setting.schedule.steps / 60:.1f} min ({seconds:.3f} s a step, just timed)",
            **({"expected memory": f"{memory} (just measured)"} if memory else {}),
        }

    @property
    def load(self) -> Load:
        """What a step of this process holds."""
        (section,) = (
            section_name(section) for section, values in self.job.sections.items() if hasattr(values, "schedule")
        )
        schedule = self.setting.schedule
        images = schedule.batch_size // size()
        at_once = min(schedule.micro_batch or images, images)
        return Load(section, images, at_once, has_batch_norms(self.setting))

    def _measured(self) -> tuple[float, str]:
        """Of a few steps on copies: seconds a step, and the most memory in words, where this machine tells that."""
        trial, drawn = self._copied(), random_state()
        if leads() and self.device.type == "cpu":
            batch = functools.cache(self.batch)
            leave_note(self.load, lambda *images: self._attempt(trial, batch(0), *images), self.job.scratch)
        told = forget_peak(self.device)
        self.step(0, trial)  # the first step pays for set-up
        start = time.perf_counter()
        for index in range(TIMED_STEPS):
            self.step(index, trial)
        seconds = (time.perf_counter() - start) / TIMED_STEPS
        restore_random_state(drawn)  # planning must not change what is planned
        return seconds, peak(self.device) if told else ""

    def _copied(self) -> State:
        """A state to try steps on."""
        trial = copy.deepcopy(self.state)
        # A deep copy of an optimiser still points at the original parameters: a trial needs optimisers of its own.
        rate, rates = self.setting.schedule.learning_rate, self.setting.update.rates
        return State.start(trial.generator, trial.discriminator, trial.adapters, rate, trial.pools, rates)

    def _attempt(self, state: State, batch: Batch, images: int, at_once: int) -> None:
        """A step on the first images of a batch, so many of them at once, without the other processes."""
        part = Batch(batch.inputs[:images], batch.photos[:images])
        with apart():
            self.setting.update(state, part, Forward(self.autocast, at_once))

    @property
    def shipped(self) -> nn.Module:
        """The averaged generator, of two directions the one that ships."""
        return self.setting.update.shipped(self.state.average)

    def run(self) -> None:
        """Train, and write the stage's arch.json, weights.safetensors, curves.csv, validation.csv, samples.png and
        metrics.json. Of several processes the first one writes."""
        setting, job = self.setting, self.job
        folder = job.scratch / self.fingerprint
        task = loop.Task(
            name=job.stage,
            state=self.state,
            schedule=setting.schedule,
            step=self.step,
            validate=lambda: self.validation.score(self.shipped),
            selection=self.validation.selection,
            sample=lambda path: self.validation.draw(self.shipped, path),
        )
        best = loop.train(task, folder, self._start_log)
        leave()
        if not leads():
            return
        self.state.average.load_state_dict(best.weights)
        if broken := [name for name, value in best.weights.items() if not value.isfinite().all()]:
            raise UserError(f"{job.stage}: its weights are NaN or infinite in {broken[0]}; lower the learning rate")
        architecture.save(setting.arch, job.output(f"{job.stage}/arch.json"))
        save_weights(self.shipped, job.output(f"{job.stage}/weights.safetensors"))
        curves = job.output(f"{job.stage}/curves.csv")
        write_curve(folder / log.NAME, "step", "losses", curves, CURVES)
        validated = job.output(f"{job.stage}/validation.csv")
        write_curve(folder / log.NAME, "validation", "metrics", validated, self.validation.columns)
        self.validation.draw(self.shipped, job.output(f"{job.stage}/samples.png"))
        machine = {"determinism": determinism(self.device), "precision": self.precision}
        write_json(job.output(f"{job.stage}/metrics.json"), {"best_step": best.step, **machine, **best.metrics})
        Log(folder / log.NAME, setting.schedule.steps).write("end", metrics=best.metrics)
        # What the outputs were made of stays until `understudy clean`: DVC has not recorded them yet.
        checkpoint.tidy(folder)

    def partners(self) -> Partners:
        """Whom the generator was trained with, after `run`."""
        discriminator, generator = self.setting.discriminator, self.state.average
        if not isinstance(generator, nn.ModuleDict) or not isinstance(discriminator, nn.ModuleDict):
            return Partners(discriminator)
        return Partners(discriminator[MAIN], discriminator[REVERSE], generator[REVERSE])

    def _start_log(self, log: Log) -> None:
        job = self.job
        if self.state.step == 0:
            params = {section.__name__.lower(): asdict(values) for section, values in job.sections.items()}
            log.write(
                "start", stage=job.stage, fingerprint=self.fingerprint, steps=self.setting.schedule.steps, params=params
            )
        start_tracker(job.root, job.stage, log.path)


def _company() -> str:
    """How many processes share the training, where there are several."""
    if size() == 1:
        return ""
    return f", {size()} processes" + (f", {local_size()} of them here" if local_size() < size() else "")
