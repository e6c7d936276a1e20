"""SHA256SUMS: a folder's files by their content, in the form that `sha256sum --check` reads."""

from collections.abc import Mapping
from pathlib import Path

from understudy.errors import DATA_FAILED, UserError
from understudy.files import sha256, write_text

NAME = "SHA256SUMS"


def write_sums(folder: Path) -> str:
    """Write FOLDER/SHA256SUMS for every other file below `folder`, and return its own SHA-256."""
    write_text(folder / NAME, text({name: sha256(folder / name) for name in _below(folder)}))
    return sha256(folder / NAME)


def text(digests: Mapping[str, str]) -> str:
    """SHA256SUMS of hexadecimal digests by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def wrong_sums(folder: Path) -> list[str]:
    """Files below `folder` that were changed, are gone, or came since SHA256SUMS was written; each in one sentence.

    Raises UserError with code DATA_FAILED when SHA256SUMS itself is missing or damaged.
    """
    try:
        rows = (folder / NAME).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, name in (row.split("  ", 1) for row in rows)}
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / NAME}: cannot be read: {error}", DATA_FAILED) from None
    return [f"{name}: {what}" for name, what in wrong(folder, expected).items()]


def wrong(folder: Path, expected: Mapping[str, str]) -> dict[str, str]:
    """What is not as `expected`, hexadecimal digests by name, has it: by name, what happened to the file."""
    found = set(_below(folder))
    said = dict.fromkeys(sorted(expected.keys() - found), "is gone")
    said |= dict.fromkeys(sorted(found - expected.keys()), "was added")
    for name in sorted(expected.keys() & found):
        if (digest := sha256(folder / name)) != expected[name]:
            said[name] = f"was changed (it has SHA-256 {digest[:12]}…, {NAME} says {expected[name][:12]}…)"
    return said


def _below(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != NAME)
