"""The judge: a small segmentation network trained on real pairs, which later scores what the generators make.

Makes    artifacts/judge/: judge.json, weights.safetensors and metrics.json (mIoU on the real validation photos)
Reads    artifacts/prepare/: dataset.json, train.zip, val.zip; artifacts/check/result.json; params judge, runtime
Takes    about 40 s for 350 steps of 16 images at 64 px and width 32 on two CPU cores in bf16
Run      dvc repro judge, or python -m stages.judge [--params FILE] [--root DIR] [--dry-run]
Killed, it starts anew: a minute is not worth a checkpoint. Its log is delivered to MLflow like that of any training.
"""

from dataclasses import asdict

from understudy.data.checked import require_checked
from understudy.data.prepared import load_info, load_split
from understudy.files import write_json
from understudy.metrics.judge import JudgeNet, save_judge
from understudy.metrics.judge_training import Progress, seconds_per_step, train
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime
from understudy.runtime import device, threads
from understudy.stage import Job, Plan, main
from understudy.train.checkpoint import fingerprint
from understudy.train.log import NAME, Log, start_tracker

READS = (Runtime, Judge)
PRINT_EVERY = 50  # steps
LOG_EVERY = 10  # steps
MIOU = "miou_segmenter_noresize_val"  # of real photos: what a perfect translation could reach


def plan(job: Job) -> Plan:
    require_checked(job)
    info = load_info(job.input("prepare/dataset.json"))
    params, runtime = job.params(Judge), job.params(Runtime)
    net = JudgeNet(info.num_classes, params.width)
    training = load_split(job.input("prepare/train.zip"), info)
    seconds = seconds_per_step(training, info.num_classes, info.ignore, params, runtime)
    return {
        "training pairs": info.counts["train"],
        "validation pairs": info.counts["val"],
        "image size": "{}x{}".format(*info.size),
        "MACs": f"{net.macs(*info.size) / 1e9:.4f} G a photo",
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "features": net.dims,
        "images seen": params.steps * params.batch_size,
        "device": f"{device(runtime)}, {threads()} threads",
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

    def report(progress: Progress) -> None:
        show(progress)
        write(log, progress)

    net, miou = train(training, validation, info.num_classes, info.ignore,
                      job.params(Judge), job.params(Runtime), report)  # fmt: skip
    save_judge(net, job.output("judge"))
    write_json(job.output("judge/metrics.json"), {"miou_val": miou})
    log.write("end", metrics={MIOU: miou})
    print(f"judge: mIoU {miou:.3f} on {len(validation)} real validation photos")


def show(progress: Progress) -> None:
    """One line at the first step, every PRINT_EVERY steps, and wherever the validation split was scored."""
    if progress.step % PRINT_EVERY and progress.step > 1 and progress.miou is None:
        return
    scored = "" if progress.miou is None else f"  validation mIoU {progress.miou:.3f}"
    print(f"judge: {progress.step}/{progress.steps}  loss {progress.loss:.3f}  {progress.rate:.0f} images/s  "
          f"{progress.left:.0f} s left{scored}", flush=True)  # fmt: skip


def write(log: Log, progress: Progress) -> None:
    """Records for the tracker: the loss every LOG_EVERY steps and at the end, the mIoU wherever there is one."""
    if progress.step % LOG_EVERY == 0 or progress.step == progress.steps:
        losses = {"cross_entropy": progress.loss}
        log.write("step", step=progress.step, losses=losses, rate=round(progress.rate, 1))
    if progress.miou is not None:
        log.write("validation", step=progress.step, metrics={MIOU: progress.miou})


if __name__ == "__main__":
    main("judge", READS, plan, run)
