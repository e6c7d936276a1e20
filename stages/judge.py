"""The judge: a small segmentation network trained on real pairs, which later scores what the generators make.

Makes    artifacts/judge/: judge.json, weights.safetensors and metrics.json (mIoU on the real validation photos)
Reads    artifacts/prepare/: dataset.json, train.zip, val.zip; params judge, runtime
Takes    about 75 s for 700 steps of 16 images at 64 px and width 32 on two CPU cores in bf16
Run      dvc repro judge, or python -m stages.judge [--params FILE] [--root DIR] [--dry-run]
"""

from understudy.data.pairs import load_info, load_pairs
from understudy.files import write_json
from understudy.metrics.judge import JudgeNet, save_judge
from understudy.metrics.judge_training import Progress, train
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime
from understudy.runtime import device
from understudy.stage import Job, Plan, main

READS = (Runtime, Judge)
PRINT_EVERY = 50  # steps


def plan(job: Job) -> Plan:
    info = load_info(job.input("prepare/dataset.json"))
    params = job.params(Judge)
    net = JudgeNet(info.num_classes, params.width)
    return {
        "training pairs": info.counts["train"],
        "validation pairs": info.counts["val"],
        "image size": "{}x{}".format(*info.size),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "features": net.dims,
        "images seen": params.steps * params.batch_size,
        "device": device(job.params(Runtime)).type,
    }


def run(job: Job) -> None:
    info = load_info(job.input("prepare/dataset.json"))
    training = load_pairs(job.input("prepare/train.zip"))
    validation = load_pairs(job.input("prepare/val.zip"))
    net, miou = train(training, validation, info.num_classes, info.ignore,
                      job.params(Judge), job.params(Runtime), show)  # fmt: skip
    save_judge(net, job.output("judge"))
    write_json(job.output("judge/metrics.json"), {"miou_val": miou})
    print(f"judge: mIoU {miou:.3f} on {len(validation)} real validation photos")


def show(progress: Progress) -> None:
    """One line at the first step, every PRINT_EVERY steps, and wherever the validation split was scored."""
    if progress.step % PRINT_EVERY and progress.step > 1 and progress.miou is None:
        return
    scored = "" if progress.miou is None else f"  validation mIoU {progress.miou:.3f}"
    print(f"judge: {progress.step}/{progress.steps}  loss {progress.loss:.3f}  {progress.rate:.0f} images/s  "
          f"{progress.left:.0f} s left{scored}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main("judge", READS, plan, run)
