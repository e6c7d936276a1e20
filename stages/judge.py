"""The judge: a small network trained on real images, which later scores what the generators make.

What it learns is the data's kind: to read the label map in a photo, or the input photo, or to tell two domains apart.

Makes    artifacts/judge/: judge.json, weights.safetensors and metrics.json (how well it does that on the validation
         split's real images: what a perfect translation could reach)
Reads    artifacts/prepare/: dataset.json, train.zip, val.zip; artifacts/check/result.json; params judge, runtime
Takes    about 40 s for 350 steps of 16 label maps at 64 px and width 32 on two CPU cores in bf16
Run      dvc repro judge, or python -m stages.judge [--params FILE] [--root DIR] [--dry-run]
Killed, it starts anew: a minute is not worth a checkpoint. Its log is delivered to MLflow like that of any training.
"""

from dataclasses import asdict

from understudy.data.checked import require_checked
from understudy.data.prepared import load_info, load_split
from understudy.files import write_json
from understudy.metrics.judge import build_judge, save_judge
from understudy.metrics.judge_training import Progress, seconds_per_step, train
from understudy.metrics.lessons import LESSONS
from understudy.metrics.protocol import JUDGES, LEARNT, on_validation
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime
from understudy.runtime import device, precision, threads
from understudy.stage import Job, Plan, main
from understudy.train.checkpoint import fingerprint
from understudy.train.log import NAME, Log, start_tracker

READS = (Runtime, Judge)
PRINT_EVERY = 50  # steps
LOG_EVERY = 10  # steps


def plan(job: Job) -> Plan:
    require_checked(job)
    info = load_info(job.input("prepare/dataset.json"))
    params, runtime = job.params(Judge), job.params(Runtime)
    net = build_judge(info, params.width)
    training = load_split(job.input("prepare/train.zip"), info)
    seconds, place = seconds_per_step(training, info, params, runtime), device(runtime)
    return {
        "judge": JUDGES[info.kind],
        "training images": info.count_text("train"),
        "validation images": info.count_text("val"),
        "image size": "{}x{}".format(*info.size),
        "MACs": f"{net.macs(*info.size) / 1e9:.4f} G a photo",
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "features": net.dims,
        "images seen": params.steps * params.batch_size,
        "device": f"{place}, {threads()} threads, {precision(runtime, place)}",
        "expected time": f"{seconds * params.steps:.0f} s ({seconds:.3f} s a step, just timed)",
    }


def run(job: Job) -> None:
    inputs = [
        require_checked(job),
        *(job.input(f"prepare/{name}") for name in ("dataset.json", "train.zip", "val.zip")),
    ]
    info = load_info(job.input("prepare/dataset.json"))
    training = load_split(job.input("prepare/train.zip"), info)
    validation = load_split(job.input("prepare/val.zip"), info)
    params = {section.__name__.lower(): asdict(values) for section, values in job.sections.items()}
    known = fingerprint(params, inputs)
    log = Log(job.scratch / known / NAME, resumed_at=0)
    log.write("start", stage=job.stage, fingerprint=known, steps=job.params(Judge).steps, params=params)
    start_tracker(job.root, job.stage, log.path)

    name, quantity = on_validation(LEARNT[info.kind].name), LESSONS[info.kind].quantity

    def report(progress: Progress) -> None:
        show(progress, name)
        write(log, progress, name, quantity)

    net, score = train(training, validation, info, job.params(Judge), job.params(Runtime), report)
    save_judge(net, job.output("judge"))
    write_json(job.output("judge/metrics.json"), {name: score})
    log.write("end", metrics={name: score})
    print(f"judge: {name} {score:.3f} of {len(validation.photos)} real photos")


def show(progress: Progress, name: str) -> None:
    """One line at the first step, every PRINT_EVERY steps, and wherever the validation split was scored."""
    if progress.step % PRINT_EVERY and progress.step > 1 and progress.score is None:
        return
    scored = "" if progress.score is None else f"  {name} {progress.score:.3f}"
    print(f"judge: {progress.step}/{progress.steps}  loss {progress.loss:.3f}  {progress.rate:.0f} images/s  "
          f"{progress.left:.0f} s left{scored}", flush=True)  # fmt: skip


def write(log: Log, progress: Progress, name: str, quantity: str) -> None:
    """Records for the tracker: the loss every LOG_EVERY steps and at the end, the score wherever there is one."""
    if progress.step % LOG_EVERY == 0 or progress.step == progress.steps:
        losses = {quantity: progress.loss}
        log.write("step", step=progress.step, losses=losses, rate=round(progress.rate, 1))
    if progress.score is not None:
        log.write("validation", step=progress.step, metrics={name: progress.score})


if __name__ == "__main__":
    main("judge", READS, plan, run)
