"""Tables in documents: Markdown rows, and the place where a document asks for a table."""

import re
from collections.abc import Sequence
from pathlib import Path

from understudy.files import write_text


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def embed(name: str, text: str, documents: Sequence[Path]) -> None:
    """Put the table where a document asks for it: between `<!-- table: NAME -->` and `<!-- end of table -->`."""
    pattern = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end of table -->)", re.DOTALL)
    for document in documents:
        before = document.read_text(encoding="utf-8")
        after = pattern.sub(lambda match: f"{match[1]}{text}{match[2]}", before)
        if after != before:
            write_text(document, after)
