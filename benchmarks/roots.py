"""Stages run in folders of their own, side by side: each with one thread, its output in a file, its time in a ledger.

What several roots share is made once, in a root that lends its outputs to the others.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from understudy import locks, processes
from understudy.errors import UserError
from understudy.files import read_json, write_json

DATA = ("prepare", "check", "judge")  # stages that do not read base.seed
LEDGER = "spent.json"  # in a root, by what was run: starts, seconds by the clock, seconds of processor time


def make_once(stages: Iterable[str], params: Path, root: Path) -> None:
    """Run those of these stages that were not run in `root` yet. One process at a time; others wait for it."""
    with locks.held(root / "lock"):
        for stage in stages:
            made = root / f"{stage}.made"
            if not made.exists():
                run_stage(stage, params, root)
                made.touch()


def lend(stages: Iterable[str], source: Path, root: Path) -> None:
    """Have `root` see the outputs that these stages left in `source`, and no others that it may have had of them."""
    for stage in stages:
        link = root / "artifacts" / stage
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            shutil.rmtree(link)
        link.symlink_to((source / "artifacts" / stage).resolve(), target_is_directory=True)


def run_stage(stage: str, params: Path, root: Path) -> None:
    """Run `python -m stages.STAGE` in a root, as `run_module` does."""
    run_module(f"stages.{stage}", params, root)


def run_module(module: str, params: Path, root: Path, *words: str) -> None:
    """Run `python -m MODULE --params PARAMS --root ROOT WORDS` with one thread.

    Its output goes to ROOT/NAME.txt, NAME being the last word of the module's; its time is added to ROOT's ledger.
    Raises UserError with its exit code when it fails.
    """
    name = module.rpartition(".")[2]
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, "--params", str(params), "--root", str(root), *words]
    # A stage that knows who started it saves its state and ends when that one dies, of a kill that it cannot pass on.
    known = {processes.STARTER: str(os.getpid())}
    environment = {**os.environ, **known, "OMP_NUM_THREADS": "1", "UNDERSTUDY_TRACKING": "off"}
    entry = {"starts": 0, "seconds": 0.0, "cpu_seconds": 0.0} | spent(root).get(name, {})
    entry["starts"] += 1
    _note(root, name, entry)  # first, so that one that was killed shows
    start = time.monotonic()
    with (root / f"{name}.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        # wait4 tells of this child alone, where the usage of all children would mix those that run side by side
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    entry["seconds"] = round(entry["seconds"] + seconds, 1)
    entry["cpu_seconds"] = round(entry["cpu_seconds"] + usage.ru_utime + usage.ru_stime, 1)
    _note(root, name, entry)
    if code:
        raise UserError(f"{name} failed with code {code} in {root}; see {root / f'{name}.txt'}", code)
    print(f"{root.name}: {name} done in {seconds / 60:.1f} min", flush=True)


def spent(root: Path) -> dict[str, dict[str, float]]:
    """The ledger: by what was run in `root`, how often it was started, and how long it took in all.

    The seconds of a start that was killed together with this program are not in it, while the start is.
    """
    return read_json(root / LEDGER) if (root / LEDGER).exists() else {}


def processor() -> str:
    """The CPU's model name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _note(root: Path, name: str, entry: dict[str, float]) -> None:
    write_json(root / LEDGER, {**spent(root), name: entry})
