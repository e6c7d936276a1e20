"""classes.json: what the values of label maps mean (docs/add-a-dataset.md)."""

import json
from typing import Any

from understudy.data.source import Classes
from understudy.errors import UserError

CLASSES = "classes.json"
MAX_CLASSES = 256
UNKNOWN_LICENCE = "unknown"
KEYS = ("names", "palette", "ignore", "licence")


def parse_classes(content: bytes, where: str) -> Classes:
    """{"names": [...], "palette": [[r, g, b], ...], "ignore": id or null, "licence": text}; the last two may miss.

    Raises UserError, prefixed by `where`, that names the key.
    """
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"prepare.source: {where}: not JSON: {error}") from None

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise UserError(f"prepare.source: {where}: {message}")

    require(isinstance(value, dict), "expected a JSON object")
    unknown = sorted(set(value) - set(KEYS))
    require(not unknown, f"unknown key {', '.join(unknown)}; known keys: {', '.join(KEYS)}")
    names, palette = value.get("names"), value.get("palette")
    require(isinstance(names, list) and all(isinstance(name, str) and name for name in names), "names: a list of texts")
    require(2 <= len(names) <= MAX_CLASSES, f"names: 2 to {MAX_CLASSES} classes, found {len(names)}")
    require(len(set(names)) == len(names), "names: two classes have the same name")
    require(
        isinstance(palette, list) and all(_is_colour(colour) for colour in palette),
        "palette: a list of [red, green, blue], each 0 to 255",
    )
    require(len(palette) == len(names), f"palette: {len(palette)} colours for {len(names)} classes")
    colours = tuple((r, g, b) for r, g, b in palette)
    require(len(set(colours)) == len(colours), "palette: two classes have the same colour")
    ignore, licence = value.get("ignore"), value.get("licence", UNKNOWN_LICENCE)
    is_class = isinstance(ignore, int) and not isinstance(ignore, bool) and 0 <= ignore < len(names)
    require(ignore is None or is_class, f"ignore: a class id from 0 to {len(names) - 1}, or null; found {ignore!r}")
    require(isinstance(licence, str) and bool(licence), "licence: a text")
    return Classes(tuple(names), colours, ignore, licence)


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)
