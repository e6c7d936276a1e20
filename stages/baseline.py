"""baseline: the student's architecture trained without its teacher, for the same steps and in the same data order.

Makes    artifacts/baseline/: arch.json, weights.safetensors, curves.csv, validation.csv, metrics.json, samples.png
Reads    artifacts/prepare, artifacts/check/result.json, artifacts/judge, artifacts/prune/arch.json, and of the teacher
         the discriminator's architecture alone; params base, runtime, student
Run      dvc repro baseline, or python -m stages.baseline [--params FILE] [--root DIR] [--dry-run]
Takes    about 0.15 s a step on one CPU core with the shipped settings
Expect   what a distilled student has to beat: validation mIoU of about 0.35 after the demo's 500 steps
Nothing is inherited, the discriminator is fresh, and every distillation term is absent.
"""

import functools

from torch import nn

from understudy.arch import families as architecture
from understudy.models.initialise import init_normal
from understudy.params.base import Base
from understudy.params.runtime import Runtime
from understudy.params.student import Student
from understudy.stage import Job, Plan, main
from understudy.train.critic import fresh_critic
from understudy.train.pix2pix import NoTerms, Weights
from understudy.train.session import Session, Setting, seeded

READS = (Base, Runtime, Student)
INPUTS = ("teacher/discriminator.json", "prune/arch.json")


@functools.cache  # the plan and the run of one job look at the same one
def session(job: Job) -> Session:
    """The training, ready to start."""
    base, params = job.params(Base), job.params(Student)
    paths = {name: job.input(name) for name in INPUTS}
    arch = architecture.load(paths["prune/arch.json"])
    generator = architecture.build(arch)
    init_normal(generator, seeded(base.seed, "generator"))
    folder = paths["teacher/discriminator.json"].parent
    return Session(
        job,
        Setting(
            arch=arch,
            generator=generator,
            discriminator=fresh_critic(folder, seeded(base.seed, "discriminator")),
            adapters=nn.ModuleDict(),
            terms=NoTerms(),
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
    main("baseline", READS, plan, run)
