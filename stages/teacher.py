"""teacher: the generator to compress, CAT's inception by default, trained with PatchGAN and the pix2pix objective.

Makes    artifacts/teacher/: arch.json, weights.safetensors, discriminator.json, discriminator.safetensors, curves.csv,
         validation.csv, metrics.json, samples.png
Reads    artifacts/prepare, artifacts/check/result.json, artifacts/judge; params base, runtime, teacher
Run      dvc repro teacher, or python -m stages.teacher [--params FILE] [--root DIR] [--dry-run]
Takes    about 0.3 s a step on one CPU core with the shipped settings (64 px, ngf 32, batch 8, bf16)
Expect   validation mIoU of about 0.44 after the demo's 500 steps, 0.51 after the 3,500 of street-scenes-long
Differs  from CAT's settings in zero padding (the default; `reflect` is theirs), width, depth and length
Killed, it goes on from its last checkpoint when it is run again.
With teacher.source nothing is trained: the generator that other code has trained is taken (docs/import-a-teacher.md).
"""

import functools

from torch import nn

from understudy.arch import families as architecture
from understudy.arch.teacher import teacher_arch
from understudy.data.prepared import load_info
from understudy.foreign import teacher as imported
from understudy.models.initialise import init_normal
from understudy.params.base import Base
from understudy.params.runtime import Runtime
from understudy.params.teacher import Teacher
from understudy.stage import Job, Plan, main
from understudy.train.critic import critic_for, save_critic
from understudy.train.pix2pix import NoTerms, Weights
from understudy.train.session import Session, Setting, seeded

READS = (Base, Runtime, Teacher)


@functools.cache  # the plan and the run of one job look at the same one
def session(job: Job) -> Session:
    """The training, ready to start."""
    base, params = job.params(Base), job.params(Teacher)
    info = load_info(job.input("prepare/dataset.json"))
    arch = teacher_arch(params, info.input_channels(params.encoding), info.size)
    generator = architecture.build(arch)
    init_normal(generator, seeded(base.seed, "generator"))
    return Session(
        job,
        Setting(
            arch=arch,
            generator=generator,
            discriminator=critic_for(arch, params.ndf, seeded(base.seed, "discriminator")),
            adapters=nn.ModuleDict(),
            terms=NoTerms(),
            weights=Weights(params.lambda_gan, params.lambda_recon),
            schedule=params.schedule,
            inputs=(),
        ),
    )


def plan(job: Job) -> Plan:
    return imported.plan(job) if job.params(Teacher).source else session(job).plan()


def run(job: Job) -> None:
    if job.params(Teacher).source:
        imported.write(job)
        return
    teacher = session(job)
    teacher.run()
    save_critic(teacher.setting.discriminator, job.output("teacher"), trained=True)


if __name__ == "__main__":
    main("teacher", READS, plan, run)
