"""Write the run on one page: verdict, pictures, curves, costs, lineage.

The page is one HTML file that needs no network; `understudy run` writes it too. With --against it
also shows how the run differs from that of another git revision, as far as git and DVC still have it.
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import OK

if TYPE_CHECKING:
    from understudy.report.compare import Other

NAME = "report.html"  # in ROOT, unless --output names another


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"the page (default: ROOT/{NAME})")
    parser.add_argument("--against", metavar="REV", help="a git revision, such as HEAD~1 or main, to compare with")


def run(arguments: argparse.Namespace) -> int:
    from understudy.report.page import write_page

    output = arguments.output or arguments.root / NAME
    with tempfile.TemporaryDirectory() as folder:
        other = _other(arguments.root, arguments.against, Path(folder)) if arguments.against else None
        write_page(arguments.root, output, other)
    print(f"Look first at {output}: the whole run on one page, for a browser")
    return OK


def _other(root: Path, revision: str, folder: Path) -> "Other":
    from understudy.adapters.revision import fetch
    from understudy.report.compare import NEEDED, Other

    commit, absent = fetch(root, revision, NEEDED, folder)
    return Other(revision, commit, folder, absent)
