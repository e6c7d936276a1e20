"""Split of label map and photo, brought to one size.

Makes    artifacts/prepare/{train,val,test}.zip, manifest.csv, dataset.json and samples.png (a look at the pairs).
Reads    prepare.source: a drawn set's description, a folder or an archive, here or on S3 (docs/add-a-dataset.md).
         What lies on S3 is copied to .understudy/prepare/s3 first, also by a dry run; what is unchanged there is not.
Takes    about a minute for the 2,400 drawn street scenes at 64 px on one CPU core; 10 s for CamVid's 701 pairs.
Expect   2,400 pairs of 13 classes; the same bytes each time.
Command  python -m stages.prepare [--params FILE] [--root DIR] [--dry-run]
"""

import functools
import sys
import time

from understudy.data.prepare import expected_seconds, open_source, prepare
from understudy.data.remote import local_copy
from understudy.data.source import Source
from understudy.data.terms import SPLITS
from understudy.params.prepare import Prepare
from understudy.stage import Job, Plan, main

READS = (Prepare,)
REPORT_EVERY = 2.0  # seconds


def plan(job: Job) -> Plan:
    """Counts, size and classes of what would be made."""
    params = job.params(Prepare)
    source = _source(job)
    counts = {split: len(source.names(split)) for split in SPLITS}
    return {
        "name": source.name,
        "layout": source.layout,
        "licence": source.classes.licence,
        "pairs": ", ".join(f"{count} {split}" for split, count in counts.items()),
        "size": "{} x {} (height x width)".format(*params.size),
        "classes": ", ".join(source.classes.names),
        "expected time": f"{expected_seconds(source, params.size):.0f} s (by its first pairs, just timed)",
    }


def run(job: Job) -> None:
    """Bring every pair to its size and write the artifacts."""
    params = job.params(Prepare)
    prepare(_source(job), params.size, job.output("prepare"), _Progress())


@functools.cache
def _source(job: Job) -> Source:
    """The source, fetched and opened once for plan and run."""
    return open_source(local_copy(job.params(Prepare).source, job.scratch / "s3"))


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
        print(f"prepare: {done}/{total} pairs, {rate:.0f}/s, {(total - done) / rate:.0f} s left", file=sys.stderr)


if __name__ == "__main__":
    main("prepare", READS, plan, run)
