"""Fetch a published bundle, and verify every checksum.

S3_ADDRESS is that of a version, or of a model: then its newest version is fetched. DIR appears when
all files are there and right, and never with half of them; a fetch that was killed goes on. A DIR that
holds the same bundle already stays as it is, any other is not overwritten. Exits 4, naming the object,
when something in the bundle is missing, changed or too many.
"""

import argparse
from pathlib import Path

from understudy.errors import OK


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="S3_ADDRESS", help="s3://BUCKET/PREFIX/NAME or s3://BUCKET/PREFIX/NAME/VERSION"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the bundle")


def run(arguments: argparse.Namespace) -> int:
    from understudy.adapters.fetch_bundle import fetch

    done = fetch(arguments.source, arguments.output)
    what = "fetched" if done.new else "here already"
    print(f"{what}: {done.address} in {arguments.output} ({done.files} files, every checksum right)")
    for note in done.notes:
        print(f"  {note}")
    print(f"use it: python {arguments.output / 'example.py'} INPUT OUTPUT")
    return OK
