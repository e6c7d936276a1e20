"""baseline: the student's architecture trained without its teacher, for the same steps and in the same data order.

Makes    artifacts/baseline/: arch.json, weights.safetensors, curves.csv, validation.csv, metrics.json, samples.png
Reads    artifacts/prepare, artifacts/check/result.json, artifacts/judge, artifacts/prune/arch.json, and of the teacher
         the discriminator's architecture alone; params base, runtime, objective, student
Run      dvc repro baseline, or python -m stages.baseline [--params FILE] [--root DIR] [--dry-run]
Takes    about 0.15 s a step on one CPU core with the shipped settings
Expect   what a distilled student has to beat: validation mIoU of about 0.35 after the demo's 500 steps
Nothing is inherited, the discriminator is fresh, and every distillation term is absent.
"""

import functools

from understudy.arch import families as architecture
from understudy.params.base import Base
from understudy.params.objective import Objective
from understudy.params.runtime import Runtime
from understudy.params.student import Student
from understudy.stage import Job, Plan, main
from understudy.train.partners import read_description
from understudy.train.session import Session
from understudy.train.setting import alone, weights_of

READS = (Base, Runtime, Objective, Student)
INPUTS = ("teacher/partners.json", "prune/arch.json")


@functools.cache  # the plan and the run of one job look at the same one
def session(job: Job) -> Session:
    """The training, ready to start."""
    objective, params = job.params(Objective), job.params(Student)
    paths = {name: job.input(name) for name in INPUTS}
    critic = read_description(paths["teacher/partners.json"]).critic
    setting = alone(
        objective,
        architecture.load(paths["prune/arch.json"]),
        lambda _: critic.build(),
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
    main("baseline", READS, plan, run, shared_by=shared_by)
