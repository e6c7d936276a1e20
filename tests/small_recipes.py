"""The recipes that a CPU takes from data to verdict in minutes, 5 to 29 by their headers: one for each family.

Each runs in a repository of its own, .understudy/long/RECIPE, which is kept: the next time DVC runs only what has
changed. How long the first run took stands there in minutes.json. A run that is under way is seen by
`understudy watch --root .understudy/long/RECIPE`.
"""

import functools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from own_repository import commit, copy_files, done, environment

from understudy.errors import GATE_FAILED, OK

SMALL = (
    "street-scenes",
    "street-scenes-resnet",
    "street-scenes-unet",
    "street-scenes-gaugan",
    "street-scenes-photos",
    "camvid-64",
    "horse2zebra-small",
    "srpkd-horse2zebra-small",
)


@functools.cache  # once in a session
def finished(repo: Path, recipe: str) -> Path:
    """The root of a shipped recipe's run, by `understudy run` on all cores. Skips the test where its data are not."""
    root = repo / ".understudy/long" / recipe
    data = Path(yaml.safe_load((repo / f"recipes/{recipe}.yaml").read_text())["prepare"]["source"])
    if not (repo / data).exists():
        pytest.skip(f"{data} is not there: `make data FROM=FOLDER` copies it from a folder that has it")
    copy_files(repo, root)
    (root / ".git/info/exclude").write_text("/screenshots/\n/minutes.json\n")
    (root / data).parent.mkdir(exist_ok=True)
    shutil.copy(repo / data, root / data)  # git ignores archives
    done(root, "understudy", "recipe", "use", recipe, "--force")
    commit(root, "this repository as it stands")
    (root / "report.html").unlink(missing_ok=True)
    fresh = not (root / "dvc.lock").exists()
    cores = len(os.sched_getaffinity(0))
    start = time.monotonic()
    ended = subprocess.run(
        ["understudy", "run"], cwd=root, env={**environment(), "OMP_NUM_THREADS": str(cores)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.returncode in (OK, GATE_FAILED), ended.stdout + ended.stderr
    if fresh:  # nothing of it was there before, and nothing was waited for but this
        minutes = round((time.monotonic() - start) / 60, 1)
        (root / "minutes.json").write_text(json.dumps({"from data to verdict": minutes, "cores": cores}))
    return root
