"""Remove checkpoints, or all scratch files.

A finished run no longer needs its checkpoints: they are what a killed training would go on from.
With --all the whole scratch folder goes: logs that were not delivered to MLflow yet, samples and
latencies too. Results (artifacts/) are never touched, nor are .understudy/seeds and .understudy/long:
they hold those of a benchmark and of `make test-long`, which may still be running. While a stage
runs or a log is being delivered nothing is removed. Asks first, unless --yes is given.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from understudy import locks
from understudy.errors import OK, UserError

LOCK = "lock"  # of a stage, in its folder
KEPT = ("seeds", "long")  # roots of their own, results included, of benchmarks/seeds.py and `make test-long`


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds .understudy/ (default: this one)")
    parser.add_argument("--all", action="store_true", help="the whole scratch folder, not the checkpoints alone")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    scratch = arguments.root / ".understudy"
    found = _inside(scratch) if arguments.all else _checkpoints(scratch)
    if not found:
        print(f"{scratch}: nothing to remove")
        return OK
    sizes = [_size(path) for path in found]
    for path, size in zip(found, sizes, strict=True):
        print(f"{size / 1e6:10.1f} MB  {path}")
    print(f"{sum(sizes) / 1e6:10.1f} MB  in all")
    if not arguments.yes and not _agreed():
        print("nothing was removed")
        return OK
    with _nobody_works(scratch):
        _remove(found)
    print("removed")
    return OK


def _inside(scratch: Path) -> list[Path]:
    """What the scratch folder holds, but for what is kept, and for locks: one that is removed can be taken twice."""
    found = [path for path in scratch.iterdir() if path.name not in KEPT] if scratch.exists() else []
    locked = [folder for folder in found if (folder / LOCK).exists()]
    inside = [path for folder in locked for path in folder.iterdir() if path.name != LOCK]
    return sorted(path for path in [*found, *inside] if path not in locked and path.suffix != ".lock")


def _checkpoints(scratch: Path) -> list[Path]:
    # Also the temporary file that a kill in the middle of a write leaves beside a checkpoint.
    return [path for folder in _inside(scratch) for path in sorted(folder.rglob("*checkpoint-*.safetensors"))]


@contextmanager
def _nobody_works(scratch: Path) -> Iterator[None]:
    """Hold every stage's and every delivery's lock. Raises UserError, naming the process, when one is not to be had."""
    with ExitStack() as held_until_removed:
        # Of stages, of deliveries, and of copies that are fetched from a server.
        taken = (f"*/{LOCK}", "*/*/tracker.lock", f"*/*/*/{LOCK}")
        for path in sorted(path for pattern in taken for path in scratch.glob(pattern)):
            if not held_until_removed.enter_context(locks.held(path, wait=1.0)):
                raise UserError(f"{path}: process {locks.holder(path)} works here; wait for its end or stop it")
        yield


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("nobody to ask on this input; give --yes to remove them")
    return input("Remove? [y/N] ").strip().lower() in ("y", "yes")


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be removed: {error.strerror}") from error


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(p.lstat().st_size for p in (path, *path.rglob("*")) if p.is_file())
