"""distill: the pruned architecture, trained to meet the data and its teacher.

Makes    artifacts/distill/: arch.json, weights.safetensors, curves.csv, validation.csv, metrics.json, samples.png
Reads    artifacts/prepare, artifacts/check/result.json, artifacts/judge, artifacts/teacher, artifacts/prune;
         params base, runtime, objective, student, distill
Run      dvc repro distill, or python -m stages.distill [--params FILE] [--root DIR] [--dry-run]
Takes    about 0.3 s a step on one CPU core with the shipped settings, half of it for the teacher
Expect   a validation mIoU 0.005 to 0.026 below the teacher's, a KID around its (recipe street-scenes-long)
Differs  from CAT in what it inherits (the pruned weights; the released code draws new ones) and in added terms
Killed, it goes on from its last checkpoint when it is run again.
"""

import functools
from functools import partial

from understudy.arch import families as architecture
from understudy.params.base import Base
from understudy.params.distill import Distill
from understudy.params.objective import Objective
from understudy.params.runtime import Runtime
from understudy.params.student import Student
from understudy.prune.surgery import inherit
from understudy.stage import Job, Plan, main
from understudy.train.partners import load_partners
from understudy.train.session import Session
from understudy.train.setting import Source, taught, weights_of
from understudy.weights import load_generator

READS = (Base, Runtime, Objective, Student, Distill)
INPUTS = (
    "teacher/arch.json",
    "teacher/weights.safetensors",
    "teacher/partners.json",
    "teacher/partners.safetensors",
    "prune/arch.json",
    "prune/inherited.safetensors",
)


@functools.cache  # the plan and the run of one job look at the same one
def session(job: Job) -> Session:
    """The training, ready to start."""
    objective, params = job.params(Objective), job.params(Student)
    paths = {name: job.input(name) for name in INPUTS}
    arch, teacher = load_generator(paths["teacher/arch.json"], paths["teacher/weights.safetensors"])
    inherited = paths["prune/inherited.safetensors"]
    source = Source(
        arch,
        teacher,
        load_partners(paths["teacher/partners.json"].parent, arch),
        inherit=partial(inherit, path=inherited),
        inherit_reverse=partial(inherit, path=inherited, way="reverse"),
    )
    setting = taught(
        objective,
        job.params(Distill),
        source,
        architecture.load(paths["prune/arch.json"]),
        weights_of(objective, params.lambda_gan, params.lambda_recon, "student"),
        params.schedule,
        job.params(Base).seed,
        INPUTS,
    )
    return Session(job, setting)


def plan(job: Job) -> Plan:
    return session(job).plan()


def run(job: Job) -> None:
    session(job).run()


def shared_by(job: Job) -> int | None:
    return job.params(Student).schedule.processes


if __name__ == "__main__":
    main("distill", READS, plan, run, shared_by=shared_by)
