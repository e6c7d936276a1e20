"""Write the champion to S3 as a bundle: weights, ONNX, card, checksums, an example.

To S3_ADDRESS/NAME/VERSION, once: the same bundle again changes nothing, and another one under the same
version is refused. A publisher that was killed goes on where it ended. Only the champion, or a version
that was promoted and not rolled back from, may be published; a challenger may not (exit code 3).
Credentials and the endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE,
AWS_ENDPOINT_URL). docs/publishing.md has the permissions that it takes.
"""

import argparse
from pathlib import Path

from understudy.errors import OK


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="S3_ADDRESS", help="s3://BUCKET/PREFIX, below which NAME/VERSION is written")
    parser.add_argument("--model", metavar="MODEL", help="models:/NAME@champion or models:/NAME/VERSION (default: the "
                                                         "champion of registry.model in ROOT/params.yaml)")  # fmt: skip
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds mlflow.db (default: this one)")


def run(arguments: argparse.Namespace) -> int:
    from understudy.params.loader import load
    from understudy.params.registry import Registry

    model = arguments.model or load(arguments.root / "params.yaml", (Registry,))[Registry].champion

    from understudy.adapters.publish import publish, size

    done = publish(arguments.root, model, arguments.target)
    kept = f", {size(done.kept)} were there" if done.kept else ""
    print(f"published: {done.address} ({done.files} files; sent {size(done.sent)}{kept})")
    for note in done.notes:
        print(f"  {note}")
    print(f"use it: understudy fetch {done.address} --output DIR")
    return OK
