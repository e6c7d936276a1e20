"""A bundle: the files of one version of a student, for whoever runs it without this project. Pure: names and checksums.

Beside the registered files it has an example that runs the ONNX file, and SHA256SUMS: where that lies beside the files
the bundle is whole, since it is written last.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from understudy.checksums import NAME as SUMS
from understudy.errors import UserError
from understudy.export import record

BEGUN = "BEGUN"  # the text of SHA256SUMS, written first: whose bundle this is, from then on
EXAMPLE = "example.py"
NEEDED = ("arch.json", "weights.safetensors", "dataset.json")
RUNNABLE = tuple(Path(path).name for path in record.FILES.values())
PLAIN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
LINE = re.compile(rf"([0-9a-f]{{64}}) [ *]({PLAIN})")  # text and binary are the same to coreutils here


def contents(files: Iterable[Path], where: str) -> dict[str, Path]:
    """The files of a bundle by name, sorted: those given, and the example.

    where: the version, for messages. Raises UserError when what makes a bundle is missing, or a name cannot be in one.
    """
    found = {path.name: path for path in files}
    if missing := [name for name in NEEDED if name not in found]:
        raise UserError(f"{where}: is registered without {', '.join(missing)}; promote it again")
    if not any(name in found for name in RUNNABLE):
        raise UserError(
            f"{where}: is registered without an ONNX file ({' or '.join(RUNNABLE)}), by which a bundle is run: set "
            "export.formats, and promote a student whose export passes the gate"
        )
    if odd := [name for name in found if not re.fullmatch(PLAIN, name) or name in (SUMS, BEGUN, EXAMPLE)]:
        raise UserError(f"{where}: {', '.join(odd)}: cannot be the name of a bundle's file")
    found[EXAMPLE] = Path(__file__).parent / "export" / EXAMPLE
    return dict(sorted(found.items()))


def read_sums(content: bytes, where: str) -> dict[str, str]:
    """Hexadecimal digests by name. where: the file, for UserError when it is no list of checksums of plain names."""
    found: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        match = LINE.fullmatch(line)
        if match is None or match[2] in found or match[2] in (SUMS, BEGUN):
            raise UserError(f"{where}: line {number} is not a SHA-256 and the name of one file of the bundle")
        found[match[2]] = match[1]
    if not found:
        raise UserError(f"{where}: names no file")
    return found


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the files that two bundles do not have in common, or not alike."""
    return sorted(name for name in {**one, **other} if one.get(name) != other.get(name))
