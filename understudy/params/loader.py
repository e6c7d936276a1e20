"""params.yaml -> frozen dataclasses, one per section: an unknown key, a wrong type or a bad range is one clear error.

A section is a dataclass named like its key (`Teacher` for `teacher:`) whose `__post_init__` checks ranges by raising
ValueError. Every field must be given: the one default of a parameter is the one in the shipped params.yaml.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from understudy.errors import UserError

Section = TypeVar("Section")


def section_name(section: type) -> str:
    """The key of params.yaml that `section` is read from."""
    return section.__name__.lower()


def load(path: Path, sections: tuple[type, ...]) -> dict[type, Any]:
    """Read the named sections of a parameter file.

    path: a YAML file (params.yaml or a recipe). sections: dataclass types; other sections of the file are not looked
    at. Returns one instance by type. Raises UserError naming the file and the key.
    """
    values = read(path)
    return {section: parse(section, values.get(section_name(section)), f"{path}: {section_name(section)}")
            for section in sections}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """The parameter file as a mapping. Raises UserError when it is missing, not YAML, or not a mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such parameter file; `understudy recipe list` shows the shipped ones") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of sections, found {type(values).__name__}")
    return values


def parse(section: type[Section], value: Any, where: str) -> Section:
    """Build the dataclass `section` from plain YAML values. `where` prefixes every error.

    A section whose keys are not fields (the gate's are metrics) reads itself: `section.parse(value, where)`.
    """
    if reader := getattr(section, "parse", None):
        return reader(value, where)
    if not isinstance(value, Mapping):
        found = "nothing" if value is None else type(value).__name__
        raise UserError(f"{where}: expected a mapping, found {found}")
    hints = typing.get_type_hints(section)
    names = [field.name for field in dataclasses.fields(section)]  # type: ignore[arg-type]
    if unknown := sorted(str(key) for key in set(value) - set(names)):
        raise UserError(f"{where}: unknown key {', '.join(unknown)}; known keys: {', '.join(names)}")
    if missing := [name for name in names if name not in value]:
        raise UserError(f"{where}: missing key {', '.join(missing)}")
    converted = {name: _convert(hints[name], value[name], f"{where}.{name}") for name in names}
    try:
        return section(**converted)
    except ValueError as error:
        raise UserError(f"{where}.{error}") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as type `hint`: scalars, tuples (YAML lists), mappings by name, nested sections, literals, None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return parse(hint, value, where)
    if origin is typing.Literal:
        if value not in arguments or isinstance(value, bool) != any(isinstance(a, bool) for a in arguments):
            # YAML 1.1 reads a bare true, yes or on as a boolean.
            advice = " (write it in quotes)" if isinstance(value, bool) else ""
            raise UserError(f"{where}: expected one of {', '.join(map(str, arguments))}; found {value!r}{advice}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, list):
        item = arguments[0]
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise UserError(f"{where}: expected {len(arguments)} values, found {len(value)}")
        return tuple(_convert(item, entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(arguments[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    expected = "a number" if hint is float else "a list" if origin is tuple else getattr(hint, "__name__", str(hint))
    # YAML 1.1 reads 2e-4 as text; say so, since the mistake cannot be seen in the file.
    advice = " (write 2.0e-4, not 2e-4)" if hint is float and isinstance(value, str) else ""
    raise UserError(f"{where}: expected {expected}, found {value!r}{advice}")


def require_sha256(digest: str) -> None:
    """For the `__post_init__` of what has a key `sha256`."""
    hexadecimal = re.fullmatch("[0-9a-f]{64}", digest) is not None
    require(hexadecimal, "sha256", f"expected the 64 digits that `sha256sum FILE` prints, found {digest!r}")


def require(condition: bool, key: str, message: str) -> None:
    """For `__post_init__`: raise the ValueError that the loader turns into `FILE: section.key: message`."""
    if not condition:
        raise ValueError(f"{key}: {message}")
