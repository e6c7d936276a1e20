"""teacher: the generator to compress, CAT's inception by default, trained with the objective that params name.

Makes    artifacts/teacher/: arch.json, weights.safetensors, partners.json and partners.safetensors (whom it was trained
         with: its discriminator, of a CycleGAN also the other direction), curves.csv, validation.csv, metrics.json,
         samples.png
Reads    artifacts/prepare, artifacts/check/result.json, artifacts/judge; params base, runtime, objective, teacher
Run      dvc repro teacher, or python -m stages.teacher [--params FILE] [--root DIR] [--dry-run]
Takes    about 0.3 s a step on one CPU core with the shipped settings (64 px, ngf 32, batch 8, bf16)
Expect   validation mIoU of about 0.44 after the demo's 500 steps, 0.51 after the 3,500 of street-scenes-long
Differs  from CAT's settings in zero padding (the default; `reflect` is theirs), width, depth and length
Killed, it goes on from its last checkpoint when it is run again.
With teacher.source nothing is trained: the generator that other code has trained is taken (docs/import-a-teacher.md).
"""

import functools

from understudy.arch.teacher import teacher_arch
from understudy.data.prepared import load_info
from understudy.foreign import teacher as imported
from understudy.params.base import Base
from understudy.params.objective import Objective
from understudy.params.runtime import Runtime
from understudy.params.teacher import Teacher
from understudy.processes import leads
from understudy.stage import Job, Plan, main
from understudy.train.partners import save_partners
from understudy.train.session import Session
from understudy.train.setting import alone, weights_of

READS = (Base, Runtime, Objective, Teacher)


@functools.cache  # the plan and the run of one job look at the same one
def session(job: Job) -> Session:
    """The training, ready to start."""
    objective, params = job.params(Objective), job.params(Teacher)
    info = load_info(job.input("prepare/dataset.json"))
    arch = teacher_arch(params, info.input_channels(params.encoding), info.size)
    setting = alone(
        objective,
        arch,
        lambda playing: playing.critic(arch, params.ndf),
        weights_of(objective, params.lambda_gan, params.lambda_recon, "teacher"),
        params.schedule,
        job.params(Base).seed,
    )
    return Session(job, setting)


def plan(job: Job) -> Plan:
    return imported.plan(job) if job.params(Teacher).source else session(job).plan()


def run(job: Job) -> None:
    if job.params(Teacher).source:
        imported.write(job)
        return
    teacher = session(job)
    teacher.run()
    if leads():
        save_partners(teacher.partners(), job.output("teacher"))


def shared_by(job: Job) -> int | None:
    params = job.params(Teacher)
    return 1 if params.source else params.schedule.processes


if __name__ == "__main__":
    main("teacher", READS, plan, run, shared_by=shared_by)
