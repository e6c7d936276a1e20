"""Images of any source, brought to one size: label maps or photos, and the photos that they are translated into.

Makes    artifacts/prepare/{train,val,test}.zip, manifest.csv, dataset.json and samples.png (inputs above photos).
Reads    prepare.source: a drawn set's description, a folder or an archive, here or on S3 (docs/add-a-dataset.md).
         What lies on S3 is copied to .understudy/prepare/s3 first, also by a dry run; what is unchanged there is not.
Takes    about a minute for the 2,400 drawn street scenes at 64 px on one CPU core; 10 s for CamVid's 701 pairs.
Expect   2,400 pairs of 13 classes; the same bytes each time.
Command  python -m stages.prepare [--params FILE] [--root DIR] [--dry-run]
"""

import functools
import sys
import time
from collections.abc import Mapping

from understudy.data.prepare import counts, expected_seconds, open_source, prepare
from understudy.data.remote import local_copy
from understudy.data.source import Source, Wanted
from understudy.data.terms import SIDES
from understudy.params.prepare import Prepare
from understudy.stage import Job, Plan, main

READS = (Prepare,)
REPORT_EVERY = 2.0  # seconds


def plan(job: Job) -> Plan:
    """Counts, size and classes of what would be made."""
    params = job.params(Prepare)
    source = _source(job)
    made: dict[str, object] = {"name": source.name, "layout": source.layout, "licence": source.classes.licence}
    if source.kind == "unpaired":
        made |= {f"{side}s": _by_split(counts(source, side)) for side in SIDES}
    else:
        made["pairs"] = _by_split(counts(source, "input"))
    made["size"] = "{} x {} (height x width)".format(*params.size)
    if params.load_size:
        made["size"] = "{}; training images {} x {}, their photos at both".format(made["size"], *params.load_size)
    if source.kind == "labels":
        made["classes"] = ", ".join(source.classes.names)
    if source.instances:
        made["instances"] = "their edges, as one more channel of the input"
    seconds = expected_seconds(source, params.size, params.load_size)
    return {**made, "expected time": f"{seconds:.0f} s (by its first images, just timed)"}


def run(job: Job) -> None:
    """Bring every image to its size and write the artifacts."""
    params = job.params(Prepare)
    prepare(_source(job), params.size, params.load_size, job.output("prepare"), _Progress())


@functools.cache
def _source(job: Job) -> Source:
    """The source, fetched and opened once for plan and run."""
    params = job.params(Prepare)
    wanted = Wanted(params.kind, params.direction, params.instances)
    return open_source(local_copy(params.source, job.scratch / "s3"), wanted)


def _by_split(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in counts.items())


class _Progress:
    """Prints rate and time left every few seconds."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self.last < REPORT_EVERY:
            return
        self.last = now
        rate = done / max(now - self.start, 1e-6)
        print(f"prepare: {done}/{total} read, {rate:.0f}/s, {(total - done) / rate:.0f} s left", file=sys.stderr)


if __name__ == "__main__":
    main("prepare", READS, plan, run)
