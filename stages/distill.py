"""distill: the pruned architecture, trained to meet the data and its teacher.

Makes    artifacts/distill/: arch.json, weights.safetensors, curves.csv, validation.csv, metrics.json, samples.png
Reads    artifacts/prepare, artifacts/check/result.json, artifacts/judge, artifacts/teacher, artifacts/prune;
         params base, runtime, student, distill
Run      dvc repro distill, or python -m stages.distill [--params FILE] [--root DIR] [--dry-run]
Takes    about 0.3 s a step on one CPU core with the shipped settings, half of it for the teacher
Expect   a validation mIoU 0.005 to 0.026 below the teacher's, a KID around its (recipe street-scenes-long)
Differs  from CAT in what it inherits (the pruned weights; the released code draws new ones) and in added terms
Killed, it goes on from its last checkpoint when it is run again.
"""

import functools

from understudy.arch import families as architecture
from understudy.models.initialise import init_normal
from understudy.params.base import Base
from understudy.params.distill import Distill
from understudy.params.runtime import Runtime
from understudy.params.student import Student
from understudy.prune.surgery import inherit
from understudy.stage import Job, Plan, main
from understudy.train.critic import fresh_critic, trained_critic
from understudy.train.distill import Distillation, adapters
from understudy.train.pix2pix import Weights
from understudy.train.session import Session, Setting, seeded
from understudy.weights import load_generator

READS = (Base, Runtime, Student, Distill)
INPUTS = (
    "teacher/arch.json",
    "teacher/weights.safetensors",
    "teacher/discriminator.json",
    "teacher/discriminator.safetensors",
    "prune/arch.json",
    "prune/inherited.safetensors",
)


@functools.cache  # the plan and the run of one job look at the same one
def session(job: Job) -> Session:
    """The training, ready to start."""
    base, params, distill = job.params(Base), job.params(Student), job.params(Distill)
    paths = {name: job.input(name) for name in INPUTS}
    teacher_arch, teacher = load_generator(paths["teacher/arch.json"], paths["teacher/weights.safetensors"])
    arch = architecture.load(paths["prune/arch.json"])
    generator = architecture.build(arch)
    init_normal(generator, seeded(base.seed, "generator"))
    inherit(generator, paths["prune/inherited.safetensors"])
    folder = paths["teacher/arch.json"].parent
    warm = distill.discriminator == "teacher"
    critic = trained_critic(folder) if warm else fresh_critic(folder, seeded(base.seed, "discriminator"))
    learned = adapters(distill, teacher_arch.tap_widths, arch.tap_widths)
    init_normal(learned, seeded(base.seed, "adapters"))
    return Session(
        job,
        Setting(
            arch=arch,
            generator=generator,
            discriminator=critic,
            adapters=learned,
            terms=Distillation(teacher, distill, arch.taps, arch.middle, learned),
            weights=Weights(params.lambda_gan, params.lambda_recon),
            schedule=params.schedule,
            inputs=INPUTS,
        ),
    )


def plan(job: Job) -> Plan:
    return session(job).plan()


def run(job: Job) -> None:
    session(job).run()


if __name__ == "__main__":
    main("distill", READS, plan, run)
