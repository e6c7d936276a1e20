"""SHA256SUMS: a folder's files by their content, in the form that `sha256sum --check` reads."""

from pathlib import Path

from understudy.errors import DATA_FAILED, UserError
from understudy.files import sha256, write_text

NAME = "SHA256SUMS"


def write_sums(folder: Path) -> str:
    """Write FOLDER/SHA256SUMS for every other file below `folder`, and return its own SHA-256."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in _below(folder)]
    write_text(folder / NAME, "".join(lines))
    return sha256(folder / NAME)


def wrong_sums(folder: Path) -> list[str]:
    """Files below `folder` that were changed, are gone, or came since SHA256SUMS was written; each in one sentence.

    Raises UserError with code DATA_FAILED when SHA256SUMS itself is missing or damaged.
    """
    try:
        rows = (folder / NAME).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, name in (row.split("  ", 1) for row in rows)}
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / NAME}: cannot be read: {error}", DATA_FAILED) from None
    found = set(_below(folder))
    said = [f"{name}: is gone" for name in sorted(expected.keys() - found)]
    said += [f"{name}: was added" for name in sorted(found - expected.keys())]
    for name in sorted(expected.keys() & found):
        if (digest := sha256(folder / name)) != expected[name]:
            said.append(f"{name}: was changed (SHA-256 {digest[:12]}…, {expected[name][:12]}… when it was registered)")
    return said


def _below(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != NAME)
