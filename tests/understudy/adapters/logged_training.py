"""Writes a log as a training does, tracker and all, until it is told that it is enough; as a program to be killed.

`python logged_training.py ROOT RESUMED_AT`

Ends by itself once ROOT/enough exists, and prints how long its writes took.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from understudy.train.log import Log, start_tracker

STAGE, FINGERPRINT = "distill", "f00dfeedf00dfeed"
PARAMS = {"base": {"seed": 3}, "student": {"lambda_gan": 1.0, "schedule": {"batch_size": 8, "ema_decay": 0.99}}}
LOSSES = ("d", "gan", "recon", "alignment", "relation")
STEPS = 1_000_000  # announced; it is told to end long before
VALIDATE_EVERY = 200
AT_ONCE = 4000  # steps that are logged without a pause, so that more is pending than goes into one call
PAUSE_SECONDS = 0.1  # between two records after them


def log_path(root: Path) -> Path:
    return root / ".understudy" / STAGE / FINGERPRINT / "log.jsonl"


def main() -> None:
    root, step = Path(sys.argv[1]), int(sys.argv[2])
    log = Log(log_path(root), resumed_at=step)
    times: list[float] = []

    def timed(action: Callable[[], None]) -> None:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)

    if step == 0:
        log.write("start", stage=STAGE, fingerprint=FINGERPRINT, steps=STEPS, params=PARAMS)
    timed(lambda: start_tracker(root, STAGE, log.path))
    # Ends at a validation, so that a test knows what to expect.
    while step % VALIDATE_EVERY or not step or not (root / "enough").exists():
        time.sleep(PAUSE_SECONDS if step >= AT_ONCE else 0)
        step += 10
        losses = {name: index + 1 / step for index, name in enumerate(LOSSES)}
        timed(lambda step=step, losses=losses: log.write("step", step=step, losses=losses, rate=50.0))
        if step % VALIDATE_EVERY == 0:
            log.write("validation", step=step, metrics={"miou_segmenter_noresize_val": 1 - 1 / step})
            picture = log.path.parent / f"samples/{step:06d}.png"
            picture.parent.mkdir(exist_ok=True)
            Image.new("RGB", (64, 64)).save(picture)
            log.write("image", step=step, path=f"samples/{step:06d}.png")
    log.write("end", metrics={"miou_segmenter_noresize_val": 0.5})
    print(json.dumps({"step": step, "median": statistics.median(times), "slowest": max(times)}))


if __name__ == "__main__":
    main()
