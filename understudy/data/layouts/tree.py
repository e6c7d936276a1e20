"""What a layout is asked about and what it answers: the files of a set by path, and the pairs among them."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from understudy.data.classes import CLASSES, Description, parse_description
from understudy.data.container import Container, Unreadable
from understudy.data.pictures import Side
from understudy.data.source import Classes
from understudy.errors import UserError


@dataclass(frozen=True)
class Tree:
    """A container from one folder on.

    source: as in prepare.source, for messages. root: that folder with a slash behind it, or nothing. paths: of its
    files, from the container's top, sorted, without what operating systems leave behind.
    """

    source: Path
    files: Container
    root: str
    paths: Sequence[str]

    @property
    def relative(self) -> Iterable[str]:
        """The paths from the root on."""
        return (path[len(self.root) :] for path in self.paths)

    def description(self) -> tuple[bytes, str]:
        """The content of classes.json, and its name for messages. It lies with the splits, or at the container's top
        beside their folder or archive. Raises UserError when it is not there."""
        for path in dict.fromkeys((self.root + CLASSES, CLASSES)):
            if path in self.files.paths:
                try:
                    return self.files.read(path), f"{self.source}: {path}"
                except Unreadable as error:
                    raise UserError(f"prepare.source: {self.source}: {path}: {error}") from error
        raise UserError(
            f"prepare.source: {self.source}: expected one {CLASSES} beside the splits, or at the top beside their "
            "folder or archive; docs/add-a-dataset.md shows what goes into it"
        )


@dataclass(frozen=True)
class Picture:
    """An image: a whole file, or one half of it. half: A is the left one, B the right one.

    lossy: of a label map, whether its classes are told by colours that a lossy format has changed a little.
    """

    path: str
    half: Side | None = None
    lossy: bool = False


@dataclass(frozen=True)
class Listing:
    """The pairs of a set, by split and name: photo and label map, names sorted.

    layout: how they lie, for people. problems: `file: reason` for what should have been one of a pair and is not.
    """

    layout: str
    classes: Classes
    pairs: dict[str, dict[str, tuple[Picture, Picture]]]
    problems: list[str]


@dataclass(frozen=True)
class Layout:
    """A way for pairs to lie in folders. shape: how it looks, for messages.

    fits: whether files of these paths, from the set's own folder on, lie so. pairs: which they are; raises UserError
    when something is missing without which no pair can be told.
    """

    shape: str
    fits: Callable[[Iterable[str]], bool]
    pairs: Callable[[Tree], Listing]


def directed(tree: Tree, meaning: str) -> Description:
    """classes.json of a set whose sides are called A and B. Raises UserError when it does not say which is which.

    meaning: of the direction "BtoA", for the message.
    """
    content, where = tree.description()
    description = parse_description(content, where)
    if description.direction is None:
        raise UserError(
            f'prepare.source: {where}: direction: missing; "BtoA" when {meaning}, "AtoB" when it is the other way round'
        )
    return description


def by_name(paths: Iterable[str], problems: list[str], suffix: str | None = None) -> dict[str, str]:
    """Paths by the name of their pair: that of the file without `suffix`, by default its extension.

    What has no usable name, or one that another file has, is added to the problems.
    """
    found: dict[str, str] = {}
    for path in paths:
        file = PurePosixPath(path)
        # macOS spells é with two code points where others use one: the same name to whoever gave it.
        name = unicodedata.normalize("NFC", file.stem if suffix is None else file.name.removesuffix(suffix))
        if not name.isprintable():
            problems.append(f"{path!r}: has a control character in its name")
        elif name in found:
            problems.append(f"{path}: has the same name as {found[name]}")
        else:
            found[name] = path
    return found


def match(photos: dict[str, str], labels: dict[str, str], problems: list[str]) -> dict[str, tuple[Picture, Picture]]:
    """Photos and label maps of the same name, sorted by it. Files that stay alone are added to the problems."""
    problems += [f"{photos[name]}: has no label map" for name in sorted(set(photos) - set(labels))]
    problems += [f"{labels[name]}: has no photo" for name in sorted(set(labels) - set(photos))]
    return {name: (Picture(photos[name]), Picture(labels[name])) for name in sorted(set(photos) & set(labels))}
